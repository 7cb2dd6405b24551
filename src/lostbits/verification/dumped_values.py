"""The values of a dump, run by run, in codes of the plan."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from numpy.typing import NDArray

from lostbits.dump import Content, Stored
from lostbits.errors import DumpError
from lostbits.verification.layouts import Expected, Layout, Reading, Reals, closeness, readings

_CLEAR = 0.25  # closeness by which another layout than that of the other tensors must be better
SURE = 2.0  # closeness from which values are those of the tensor, whatever parts them
_RELATED = 0.5


@final
@dataclass(frozen=True)
class Candidate:
    """One reading of a tensor of a dump, and how well its values fit."""

    reading: Reading
    values: Reals
    fit: float


def of_run(files: Sequence[Stored], run: int, runs: int, size: int) -> Content | None:
    """What the files of a tensor hold of one run; None where they have nothing of it.

    Args:
        files: Of one name.
        run: Number of the run.
        runs: How many there are in all.
        size: Values of the tensor in one run.
    """
    mine = next((f for f in files if f.sample == run), None)
    if mine is not None:
        return mine.content()
    whole = next((f for f in files if f.sample is None), None)
    if whole is None:
        return None
    content = whole.content()
    if isinstance(content, bytes):
        return _part_of_bytes(content, run, runs, size)
    return _part_of_array(content, run, runs, size)


def _part_of_bytes(content: bytes, run: int, runs: int, size: int) -> bytes | None:
    widths = [w for w in (4, 1, 2, 8) if len(content) == w * size * runs]
    if runs > 1 and widths:
        length = len(content) // runs
        return content[run * length : (run + 1) * length]
    return content if run == 0 else None


def _part_of_array(array: NDArray[Any], run: int, runs: int, size: int) -> NDArray[Any] | None:
    """Axis 0 counts runs where the array has values for several."""
    several = array.size // size if size else 1
    if several > 1 and array.ndim and array.size % several == 0 and array.shape[0] % several == 0:
        filled = several > runs or (several < runs and array.ndim == 1)
        if not filled:
            each = array.shape[0] // several
            return array[run * each : (run + 1) * each] if run < several else None
    return array if run == 0 else None


def best(
    content: Content, expected: Expected, kinds: frozenset[tuple[str, str]] = frozenset()
) -> list[Candidate]:
    """Readings of a file, the best of every layout, the nearest first.

    Args:
        content: Of one run.
        expected: What the tensor should be.
        kinds: Types and meanings of values that are tried alone, where any of them fits.
    """
    found: dict[str, Candidate] = {}
    every = list(readings(content, expected))
    usual = [(r, v) for r, v in every if (r.dtype, r.kind) in kinds]
    for reading, values in usual or every:
        fit = closeness(values, expected)
        known = found.get(reading.layout.name)
        if known is None or fit > known.fit:
            found[reading.layout.name] = Candidate(reading, values, fit)
    return sorted(found.values(), key=lambda c: -c.fit)


def misfit(where: str, content: Content, expected: Expected) -> DumpError:
    """V005 for a raw file that is cut off, V004 for other numbers of values."""
    count = expected.codes.size
    if isinstance(content, bytes):
        least = count * (4 if expected.kind is None else expected.kind.itemsize)
        short = len(content) < least or (least < len(content) < 4 * count)
        found = f"{len(content)} bytes"
        return DumpError("V005" if short else "V004", where, found, count=count)
    return DumpError("V004", where, f"{content.dtype} of shape {content.shape}", count=count)


@final
class Conventions:
    """The layout and the kind that a dump's tensors have in common.

    A single tensor in another layout than its neighbours is no matter of how the dump was written:
    there the device itself has mixed the axes up. And values that are nothing like the plan's do
    not tell whether they are reals or codes; the other tensors do.

    Attributes:
        kinds: Types and meanings of the values of tensors that are what they should be.
    """

    def __init__(self, candidates: Mapping[str, Sequence[Candidate]]) -> None:
        self._layouts = _usual(
            (len(c[0].values.shape), c[0].reading.layout.name.split(" ")[0])
            for c in candidates.values()
            if c and c[0].fit > SURE
        )
        sure = (c[0].reading for c in candidates.values() if c and c[0].fit > SURE)
        self.kinds = frozenset((reading.dtype, reading.kind) for reading in sure)

    def chosen(self, candidates: Sequence[Candidate]) -> tuple[Candidate, Layout | None]:
        """The reading by convention, and the layout that would fit better, if one clearly does."""
        first = candidates[0]
        usual = self._layouts.get(len(first.values.shape))
        if usual is None:
            return self._plain(candidates), None
        mine = [c for c in candidates if c.reading.layout.name.split(" ")[0] == usual]
        if not mine:
            return first, None
        clear = first.fit > mine[0].fit + _CLEAR and first.fit > SURE
        return mine[0], first.reading.layout if clear else None

    @staticmethod
    def _plain(candidates: Sequence[Candidate]) -> Candidate:
        """The planned order, unless another is clearly better."""
        same = [c for c in candidates if c.reading.layout.name.split(" ")[0] == "same"]
        if same and candidates[0].fit <= same[0].fit + _CLEAR:
            return same[0]
        return candidates[0]


def _usual(pairs: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    """By key the most frequent value; of equals the first, which is that of the earliest tensor."""
    counts: dict[Any, Counter[str]] = {}
    for key, value in pairs:
        counts.setdefault(key, Counter())[value] += 1
    return {key: each.most_common(1)[0][0] for key, each in counts.items()}


def related(candidates: Sequence[Candidate]) -> bool:
    """Whether values have anything to do with the tensor."""
    return bool(candidates) and candidates[0].fit > _RELATED


def by_content(
    rest: Mapping[str, Content], wanted: Mapping[str, Expected]
) -> Iterator[tuple[str, str]]:
    """Pairs of a name in the dump and a tensor that it cannot but be, by their values."""
    fits = {
        (name, tensor): found[0].fit
        for name, content in rest.items()
        for tensor, expected in wanted.items()
        if (found := best(content, expected)) and found[0].fit > SURE
    }
    taken: set[str] = set()
    for name, tensor in sorted(fits, key=lambda pair: -fits[pair]):
        if f"n{name}" not in taken and f"t{tensor}" not in taken:
            taken |= {f"n{name}", f"t{tensor}"}
            yield name, tensor
