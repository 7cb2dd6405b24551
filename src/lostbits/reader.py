"""Contract of a reader: the bytes of a file with parameters -> parameters by tensor.

A file that is damaged as a whole raises; a single tensor that makes no sense is passed over and
becomes a problem, because the rest of somebody else's file is still worth looking at.
"""

import abc
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeGuard, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import LostbitsError, ReadError, edge, first_line, messages
from lostbits.graph.site import Use
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.language import Figure, Message, say
from lostbits.system.memory import excess

_TINY, _MOST = (float(getattr(np.finfo(np.float32), end)) for end in ("tiny", "max"))
_PARSED = 24  # bytes that a byte of JSON takes at most, as objects in memory
_MARK = b"\xef\xbb\xbf"  # of the order of bytes, which some editors write before UTF-8
_SHOWN = 60  # characters of a file's line in a message


@final
@dataclass(frozen=True)
class Entry:
    """What a file says about one tensor.

    Attributes:
        tensor: Its name in the file.
        affine: Its parameters.
        aliases: Other names under which the float model may know it.
        uses: The inputs that read the quantized value, where the file is a model.
        axis_given: Whether the file tells the channel axis; where not, ``affine.axis`` is 0.
    """

    tensor: str
    affine: Affine
    aliases: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()
    axis_given: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the file's own first."""
        return (self.tensor, *self.aliases)


@final
@dataclass(frozen=True)
class Parameters:
    """What a whole file says.

    Attributes:
        format: Name of the reader.
        entries: One for each quantized tensor, in the order of the file.
        floats: Tensors that the file keeps in float by name.
        problems: What is wrong or doubtful, as errors that were not raised.
        method: Range method that the file claims to come from, such as ``entropy``.
        dynamic: Activations that are quantized with a scale of each run, of which there are none
            to read.
        weights_only: Whether it has parameters of weights, and of no activation at all.
        target: Name of the target that it was made for, as the file has it.
        arithmetic: Of the kernels that it was made for, as the file has it; None where it says
            nothing of them.
        turned: Entries of constants that nodes turn before a layer reads them, as they lie behind
            these nodes: ``tensor`` is that of the entry, the axis and other names are those there.
        constants: Entries that the file lists as constants, where it keeps them apart.
    """

    format: str
    entries: tuple[Entry, ...]
    floats: tuple[str, ...] = ()
    problems: tuple[ReadError, ...] = ()
    method: str | None = None
    dynamic: tuple[str, ...] = ()
    weights_only: bool = False
    target: object = None
    arithmetic: object = None
    turned: tuple[Entry, ...] = ()
    constants: tuple[str, ...] = ()

    @property
    def affines(self) -> dict[str, Affine]:
        """Parameters by the file's own tensor names."""
        return {e.tensor: e.affine for e in self.entries}


class Reader(abc.ABC):
    """Understands one family of files.

    Attributes:
        name: Of the format, for tables and messages.
        title: One line.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abc.abstractmethod
    def recognises(self, content: bytes) -> bool:
        """Whether the content looks like this format; a damaged file still may."""

    def read(self, content: bytes) -> Parameters:
        """What the file says.

        Raises:
            ReadError: I002 damaged, whatever a parser calls it, I003 version, I004 a name twice.
        """
        with edge(damaged):
            return self.parse(content)

    @abc.abstractmethod
    def parse(self, content: bytes) -> Parameters:
        """See ``read``, which puts what is raised here into words of ours."""


@final
class Reading:
    """Entries and problems of a file, while it is read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.entries: dict[str, Entry] = {}
        self.floats: list[str] = []
        self.problems: list[ReadError] = []
        self.dynamic: tuple[str, ...] = ()
        self.weights_only = False
        self.turned: list[Entry] = []
        self.constants: list[str] = []

    def add(
        self, tensor: str, grid: Grid, scale: object, zero_point: object = 0, **details: Any
    ) -> None:
        """Take in one tensor, or say why not; ``details`` are ``axis`` and fields of Entry."""
        axis = details.pop("axis", None)
        try:
            scales = _above_zero(tensor, scale)
            affine = affine_of(tensor, grid, scales, zero_point, axis)
        except ReadError as error:
            self.problems.append(error)
            return
        small = _numbers(tensor, scale) < _TINY
        if small.any():
            found = np.asarray(scale, np.float32)
            self.problems.append(_bad_scale(tensor, found, small, [tensor]))
        self.put(Entry(tensor, affine, **details))

    def put(self, entry: Entry) -> None:
        """Take in an entry; one tensor read by several quantizers keeps all their uses."""
        known = self.entries.setdefault(entry.tensor, entry)
        if known is entry:
            return
        aliases = tuple(dict.fromkeys((*known.aliases, *entry.aliases)))
        uses = tuple(dict.fromkeys((*known.uses, *entry.uses)))
        merged = Entry(known.tensor, known.affine, aliases, uses, known.axis_given)
        self.entries[entry.tensor] = merged
        if known.affine != entry.affine:
            self.problems.append(_two_scales(entry.tensor, known.affine, entry.affine))

    def malformed(self, tensor: str, found: str) -> None:
        """Note an entry without the fields that it needs."""
        self.problems.append(_malformed(tensor, found))

    def unsupported(self, tensor: str, found: str) -> None:
        """Note a kind of quantization that has no scale per tensor or channel."""
        self.problems.append(_unsupported(tensor, found))

    def parameters(self, method: str | None = None) -> Parameters:
        """All of it."""
        entries, problems = tuple(self.entries.values()), tuple(self.problems)
        found = (tuple(self.floats), problems, method, self.dynamic, self.weights_only)
        whole = Parameters(self.source, entries, *found)
        return replace(whole, turned=tuple(self.turned), constants=tuple(self.constants))


def affine_of(
    tensor: str, grid: Grid, scale: object, zero_point: object = 0, axis: int | None = None
) -> Affine:
    """Parameters from a file's numbers: scalars, or one number per channel of ``axis``.

    Raises:
        ReadError: I005 for the scale, I006 for the zero point, I008 if they are no numbers.
    """
    scales, zeros = _numbers(tensor, scale), _numbers(tensor, zero_point)
    zeros = np.broadcast_to(zeros, scales.shape) if zeros.ndim == 0 else zeros
    channels = 1 if isinstance(axis, int) else 0
    if scales.ndim not in (0, channels) or zeros.shape != scales.shape or scales.size == 0:
        found = f"scales {scales.shape}, zero points {zeros.shape}, axis {axis!r}"
        raise _malformed(tensor, found)
    with np.errstate(over="ignore"):
        floats = scales.astype(np.float32)
    bad = ~(np.isfinite(floats) & (floats > 0))
    if bad.any():
        raise _bad_scale(tensor, floats, bad)
    if not ((zeros == np.rint(zeros)) & (zeros >= grid.qmin) & (zeros <= grid.qmax)).all():
        raise _bad_zero_point(tensor, grid, zeros)
    reach = scales * np.maximum(grid.qmax - zeros, zeros - grid.qmin)
    if (reach > _MOST).any():
        raise _bad_scale(tensor, floats, reach > _MOST)
    return Affine(grid, floats, zeros.astype(np.int64), axis if scales.ndim else None)


def affine_of_ends(
    tensor: str, grid: Grid, low: object, high: object, *, symmetric: bool
) -> Affine:
    """Parameters of a range that a file gives by its ends.

    Raises:
        ReadError: I008 unless they are two finite numbers in order.
    """
    ends = _numbers(tensor, [low, high])
    if ends.shape != (2,) or not np.isfinite(ends).all() or ends[0] > ends[1]:
        raise _malformed(tensor, f"ends {excerpt(repr(low))} and {excerpt(repr(high))}")
    return affine_from_range(ends[0], ends[1], grid, symmetric=symmetric)


def grid_of(tensor: str, bits: object, *, signed: bool) -> Grid:
    """The full grid of a width that a file gives.

    Raises:
        ReadError: I007 unless it is an integer from 2 to 32.
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 32:
        raise _unsupported(tensor, f"{excerpt(repr(bits))} bits")
    return Grid.of(bits, signed=signed)


def _above_zero(tensor: str, scale: object) -> NDArray[np.float64]:
    """Scales of zero as what kernels make of them: a quotient that overflows, and nothing left.

    The least normal number does the same, and leaves the tensor as useless as the file has it.
    """
    scales = _numbers(tensor, scale)
    return np.where(scales == 0, _TINY, scales)


def _numbers(tensor: str, value: object) -> NDArray[np.float64]:
    try:
        return np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise _malformed(tensor, first_line(error)) from error


def parse_json(content: bytes) -> Any:
    """The JSON value in ``content``.

    Raises:
        ReadError: I002 if it is none, I004 if an object has a name twice: most parsers keep the
            last one silently, and which of the two was meant nobody knows.
    """
    try:
        value = json.loads(_text(content), object_pairs_hook=_object)
        if b"\\u" in content:  # an escape can stand for half a character, which is no text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise damaged(f"no JSON: {first_line(error)}") from error
    return value


def starts_object(content: bytes) -> bool:
    """Whether the content looks like a JSON object, a damaged one perhaps."""
    return content.removeprefix(_MARK).lstrip()[:1] == b"{"


def _text(content: bytes) -> str:
    """Raises I002 for what would not fit into memory once it is parsed."""
    if found := excess(_PARSED * len(content)):
        raise damaged(f"JSON of {len(content)} bytes: {found}")
    return content.decode("utf-8-sig")


def lines_of(content: bytes) -> list[str]:
    """Lines of a text; names may hold what else some call the end of one."""
    lines = content.decode("utf-8-sig", errors="replace").split("\n")
    return [line.rstrip() for line in lines[: None if lines[-1] else -1]]


def json_object(content: bytes) -> Mapping[str, Any]:
    """The JSON object in ``content``, or an empty one: for the recognition of formats."""
    if not starts_object(content):
        return {}
    try:
        value = json.loads(_text(content))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    check_unique(name for name, _ in pairs)
    return dict(pairs)


def check_unique(names: Any) -> None:
    """Raise I004 at a name that stands twice in an iterable of them."""
    listed = list(names)
    if not all(isinstance(name, str) for name in listed):
        raise damaged("a name is no text")
    for name, count in Counter(listed).items():
        if count > 1:
            where = f"tensor {name!r}"
            raise ReadError("I004", where, f"{count} entries")


def damaged(found: str, where: str = "file of parameters") -> ReadError:
    """An error for a file that cannot be parsed to its end."""
    return ReadError("I002", where, found)


def wrong_version(found: object, known: Sequence[str]) -> ReadError:
    """An error for a version that was never published, or that came later."""
    where = "file of parameters"
    return ReadError("I003", where, repr(found), versions=", ".join(known))


def narrowed(tensor: str, bits: object, signed: object, low: object, high: object) -> Grid:
    """The grid of a width, all of it or the part between two codes, such as -127..127.

    Raises:
        ReadError: I007 for the width, I008 for the codes.
    """
    full = grid_of(tensor, bits, signed=signed is True)
    if not (_is_whole(low) and _is_whole(high) and full.qmin <= low < high <= full.qmax):
        raise _malformed(tensor, f"codes {excerpt(repr(low))}..{excerpt(repr(high))}")
    return Grid(full.bits, full.signed, low, high)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def excerpt(line: str) -> str:
    """The beginning of a line of a file, quoted."""
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")


def _bad_scale(
    tensor: str,
    scale: NDArray[np.floating[Any]],
    bad: NDArray[np.bool_],
    tensors: Sequence[str] = (),
) -> ReadError:
    """I005, by the kind of the first of the ``bad`` ones, each of which has its own usual cause."""
    first = float(scale[bad][0])
    figures = {"first": f"{first:.6g}", "bad": f"{bad.sum()}", "all": f"{scale.size}"}
    where, negative, small = (
        say("doubt.tensor", name=repr(tensor)),
        -np.inf < first < 0,
        first < _TINY,
    )
    return doubt(
        "I005.negative" if negative else "I005.zero" if first >= 0 and small else "I005.infinite",
        where,
        figures,
        tensors,
    )


def _bad_zero_point(tensor: str, grid: Grid, zeros: NDArray[np.float64]) -> ReadError:
    return ReadError(
        "I006", f"tensor {tensor!r}", f"{zeros.ravel()[:4]}", qmin=grid.qmin, qmax=grid.qmax
    )


def _unsupported(tensor: str, found: str) -> ReadError:
    return ReadError("I007", f"tensor {tensor!r}", found)


def _malformed(tensor: str, found: str) -> ReadError:
    return ReadError("I008", f"tensor {tensor!r}", found)


def _two_scales(tensor: str, one: Affine, other: Affine) -> ReadError:
    figures = {"one": _shown(one), "other": _shown(other)}
    return doubt("I023", say("doubt.tensor", name=repr(tensor)), figures, [tensor])


def doubt(
    code: str, where: Figure, figures: Mapping[str, Figure], tensors: Sequence[str]
) -> ReadError:
    """A message whose parts the catalogues of all languages have, what was found among them."""
    found = say(f"{messages.form(code).words}_found", **figures)
    return ReadError(code, where, found, tensors=tensors, **figures)


def told(error: LostbitsError) -> Message:
    """The whole message, for a page in any language."""
    parts = {"where": error.where, "rule": error.rule, "found": error.found, "todo": error.todo}
    return say("doubt.told", code=error.code, **parts)


def _shown(affine: Affine) -> str:
    first = float(affine.scale.ravel()[0])
    return f"{affine.grid.name} scale {first:.6g}{'' if affine.axis is None else ' ...'}"
