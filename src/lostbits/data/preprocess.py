"""How images become the values that a model was trained on."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np

from lostbits.data.paths import existing, reading
from lostbits.errors import DataError, close_match
from lostbits.quoting import brief
from lostbits.system.files import MOST_SETTINGS, read_text

_MOST_PIXELS = 1 << 30  # a side; what of it fits into memory is asked when the model is known
_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).tiny)


@final
@dataclass(frozen=True)
class Preprocess:
    """``(pixel * scale - mean) / std``, after resizing.

    Args:
        size: Height and width; None for those that the model fixes.
        mean: What is subtracted from the scaled pixels: one number, or one a channel.
        std: What the difference is divided by, the same way.
        scale: What pixels of 0 to 255 are multiplied by first.
        layout: Order of the axes; None for the one that fits the model.
        colour: Channels in their order; None for GRAY or RGB, whichever fits the model.
        resize: ``stretch`` changes the aspect ratio; ``crop`` resizes the shorter side and cuts
            out the centre. Both bilinear, after EXIF's orientation was applied.
        shorter: With ``crop``, what the shorter side becomes first; None for the least that
            covers ``size``.

    >>> Preprocess(scale=2.0, mean=(1.0,)).std
    (1.0,)
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1 / 255
    layout: Literal["NCHW", "NHWC"] | None = None
    colour: Literal["RGB", "BGR", "GRAY"] | None = None
    resize: Literal["stretch", "crop"] = "stretch"
    shorter: int | None = None

    def __post_init__(self) -> None:
        for key, (rule, holds) in _RULES.items():
            if not holds(getattr(self, key)):
                raise _wrong(key, rule, brief(getattr(self, key)))
        if self.shorter is not None and self.resize != "crop":
            raise _wrong("shorter", "left out unless resize is 'crop'", brief(self.shorter))

    @classmethod
    def of(cls, given: "str | Path | Preprocess | None") -> "Preprocess | None":
        """The settings, or those in a file; see ``from_toml``."""
        return cls.from_toml(Path(given)) if isinstance(given, str | Path) else given

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """The settings in a file, whose keys are the arguments of this class.

        Raises:
            DataError: D001, D002 or D012: no file, no TOML, a key or value that is wrong.
        """
        with reading(str(path)):
            table = tomllib.loads(read_text(existing(path), MOST_SETTINGS))
        known = [field.name for field in fields(cls)]
        for key in table:
            if key not in known:
                raise DataError("D012.key", str(path), brief(key), advice=close_match(key, known))
        return cls(**{key: _from_toml(key, value) for key, value in table.items()})


def _from_toml(key: str, value: Any) -> Any:
    """TOML has no tuples; and one number will do for both sides, or for all channels."""
    if isinstance(value, list):
        return tuple(value)
    if key == "size":
        return (value, value)
    return (value,) if key in ("mean", "std") else value


def _wrong(key: str, rule: str, found: str) -> DataError:
    return DataError("D012.value", f"preprocess {key!r}", found, wanted=rule)


def _whole(value: object) -> bool:
    return type(value) is int and 0 < value <= _MOST_PIXELS


def _number(value: object) -> bool:
    """Whether it is one that float32 can hold; a comparison overflows for no integer."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST <= value <= _LARGEST
    )


def _numbers(values: object) -> bool:
    return isinstance(values, tuple) and len(values) > 0 and all(map(_number, values))


def _one_of(*choices: str | None) -> tuple[str, Callable[[Any], bool]]:
    return " or ".join(repr(c) for c in choices if c), lambda value: value in choices


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size": (
        "height and width in pixels, as [224, 224]",
        lambda v: v is None or (isinstance(v, tuple) and len(v) == 2 and all(map(_whole, v))),
    ),
    "mean": ("finite numbers, one or one a channel", _numbers),
    "std": (
        "positive numbers, one or one a channel",
        lambda v: _numbers(v) and min(v) >= _SMALLEST,
    ),
    "scale": ("a positive number", lambda v: _number(v) and v >= _SMALLEST),
    "layout": _one_of("NCHW", "NHWC", None),
    "colour": _one_of("RGB", "BGR", "GRAY", None),
    "resize": _one_of("stretch", "crop"),
    "shorter": ("a number of pixels", lambda v: v is None or _whole(v)),
}
