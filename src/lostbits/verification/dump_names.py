"""Which tensor of a dump is which of the plan: by a file of names, by name, and by content.

Tools change names: slashes and colons become underscores, a leading slash goes, endings come
along. Two names are taken for one where only such changes part them.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from lostbits.dump import Stored
from lostbits.errors import DumpError, first_line

_OTHERS = re.compile(r"[^0-9a-z]+")
_ENDINGS = re.compile(
    r"(?:_(?:quantizelinear_output|dequantizelinear_output|quantized|dequantized|native|rs|0))+$"
)


def normal(name: str) -> str:
    """A name without what tools change.

    >>> normal("/layer1/conv/Conv_output_0"), normal("layer1_conv_Conv_output_0:0")
    ('layer1_conv_conv_output', 'layer1_conv_conv_output')
    """
    plain = _OTHERS.sub("_", name.lower()).strip("_")
    return _ENDINGS.sub("", plain) or plain


def names_in(path: Path) -> dict[str, str]:
    """Names of the model by names of the dump, from a file.

    Raises:
        DumpError: V009.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip()[:1] == "{":
            pairs = json.loads(text)
            if not all(isinstance(v, str) for v in pairs.values()):
                raise DumpError("V009", str(path), "a name that is no text")
            return {str(k): v for k, v in pairs.items()}
        return dict(
            _pair(path, number, line)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.lstrip().startswith("#")
        )
    except (OSError, ValueError) as error:
        raise DumpError("V009", str(path), first_line(error)) from error


def _pair(path: Path, number: int, line: str) -> tuple[str, str]:
    parts = re.split(r"\s*[,;\t=]\s*|\s+", line.strip())
    if len(parts) != 2:
        raise DumpError("V009", f"{path}, line {number}", repr(line))
    return parts[0], parts[1]


@final
@dataclass(frozen=True)
class Named:
    """What of a dump belongs to which tensor of the plan.

    Attributes:
        found: By tensor, its files by the name that they have in the dump; of several names the
            best first: as the plan has it before one that was changed, codes before reals.
        rest: By name, files that no name tells.
        unsure: Tensors for which several changed names may stand.
    """

    found: dict[str, dict[str, list[Stored]]]
    rest: dict[str, list[Stored]]
    unsure: list[str]


def named(
    stored: Iterable[Stored], tensors: Mapping[str, Sequence[str]], pairs: Mapping[str, str]
) -> Named:
    """Tensors of a dump by tensors of the plan.

    Args:
        stored: The dump.
        tensors: By name of a tensor, all names that it has, the best first.
        pairs: From the file of names.
    """
    groups = defaultdict[str, list[Stored]](list)
    for each in stored:
        groups[each.name].append(each)
    known = _Known(tensors, pairs)
    places = {name: place for name in groups if (place := known.place(name)) is not None}
    found = defaultdict[str, dict[str, list[Stored]]](dict)
    for name, (tensor, *_) in sorted(places.items(), key=lambda p: p[1][1:]):
        found[tensor][name] = groups[name]
    rest = {name: files for name, files in groups.items() if name not in places}
    changed = Counter((tensor, rank) for tensor, rank, exact in places.values() if exact)
    return Named(dict(found), rest, [tensor for (tensor, _), n in changed.items() if n > 1])


@final
class _Known:
    """Names of the plan, as they are and without what tools change."""

    def __init__(self, tensors: Mapping[str, Sequence[str]], pairs: Mapping[str, str]) -> None:
        every = [(n, t, rank) for t, names in tensors.items() for rank, n in enumerate(names)]
        self.exact = {name: (tensor, rank) for name, tensor, rank in reversed(every)}
        self.similar = {normal(name): (tensor, rank) for name, tensor, rank in reversed(every)}
        self.pairs = {**{normal(k): v for k, v in pairs.items()}, **pairs}

    def place(self, name: str) -> tuple[str, int, int] | None:
        """Tensor, rank of its name, and whether the name was changed."""
        told = self.pairs.get(name) or self.pairs.get(normal(name)) or name
        if told in self.exact:
            return (*self.exact[told], 0)
        similar = self.similar.get(normal(told))
        return None if similar is None else (*similar, 1)
