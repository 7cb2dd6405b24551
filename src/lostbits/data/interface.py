"""What a model takes: which arrays, of which shapes and types, how many samples at a time."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from lostbits.data.conversion import convert
from lostbits.data.paths import check_room
from lostbits.data.source import Feeds, InputSpec
from lostbits.errors import DataError, close_match

_MOST_EMPTY = 1 << 20  # samples that no byte stands for, which a header may claim by the trillion
_LAYOUTS = {"NHWC": (0, 3, 1, 2), "NCHW": (0, 2, 3, 1)}  # the transposition that undoes each


class Shaped(Protocol):
    """Anything with the shape of an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""


@final
@dataclass(frozen=True)
class Interface:
    """The inputs of a model, and how samples lie in the arrays for them.

    Args:
        inputs: At least one, in the model's order.
        stacked: Whether the arrays are known to hold what whole runs take, one after the other.
        same: Inputs whose axis 0 counts something else than samples, as the texts that each image
            is held against: all samples take their array as it is.
    """

    inputs: tuple[InputSpec, ...]
    stacked: bool = False
    same: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether every run takes one whole sample.

        So it is where the inputs share no batch axis: one has no axes, or the first axes are fixed
        at different sizes, or at one size where that of another input is free, or the batch axis
        is another than the first.
        """
        fixed = self._fixed()
        free = any(spec.shape and spec.shape[0] is None for spec in self.inputs)
        apart = len(fixed) > 1 or (free and bool(fixed - {1}))
        return self.stacked or apart or any(not s.shape or s.batch_axis for s in self.inputs)

    def of(self, arrays: Mapping[str, Shaped]) -> "Interface":
        """Itself, or as a model whose runs the arrays hold whole, where they only fit it so."""
        pairs = [(spec, arrays[spec.name].shape) for spec in self.inputs if spec.name in arrays]
        stacked = len(pairs) == len(self.inputs) and all(
            spec.shape and spec.shape[0] is not None and _fits(shape[1:], spec.shape)
            for spec, shape in pairs
        )
        if self.whole or len(pairs) < len(self.inputs):
            return self
        return replace(self, stacked=True) if stacked else self._with_same(pairs)

    def of_a_run(self, arrays: Mapping[str, Shaped]) -> bool:
        """Whether arrays are just what one run takes, where axis 0 does not count samples in all.

        As of a graph, whose nodes and edges are no equal numbers.
        """
        if set(arrays) != {spec.name for spec in self.inputs} or not self._unlike:
            return False
        return all(_fits(arrays[spec.name].shape, spec.shape) for spec in self.inputs)

    @property
    def _unlike(self) -> bool:
        """Whether the model says that axis 0 counts different things in different inputs."""
        return self.whole or len({spec.counted for spec in self.inputs}) > 1

    def _with_same(self, pairs: Sequence[tuple[InputSpec, tuple[int, ...]]]) -> "Interface":
        """With the inputs of which there is another number, where the model names it another."""
        most = max(pairs, key=lambda pair: pair[1][:1])
        others = [spec for spec, shape in pairs if shape[:1] != most[1][:1]]
        named = all(s.counted not in ("", most[0].counted) for s in others)
        fit = all(_fits(shape, spec.shape) for spec, shape in pairs)
        if not others or not named or not fit or not most[0].counted:
            return self
        return replace(self, stacked=True, same=frozenset(s.name for s in others))

    @property
    def batch(self) -> int | None:
        """How many samples every run takes; None where the model leaves it open."""
        return 1 if self.whole else next(iter(self._fixed()), None)

    def sole(self, where: str, what: str) -> InputSpec:
        """The input of a model that has just one, which is all that ``what`` can feed."""
        if len(self.inputs) > 1:
            found = f"{what} for {_listed(spec.name for spec in self.inputs)}"
            raise DataError("D005.sole", where, found)
        return self.inputs[0]

    def check_size(self) -> None:
        """Refuse a model whose fixed sizes alone are more than memory holds.

        Raises:
            DataError: D021.
        """
        for spec in self.inputs:
            needed = prod(size or 1 for size in spec.shape) * spec.dtype.itemsize
            check_room(f"input {spec.name!r}", f"a run of shape {spec.shape}", needed)

    def lacks_sample_axis(self, spec: InputSpec, array: Shaped) -> bool:
        """Whether the array can only be a single sample without an axis for samples."""
        return len(array.shape) == min(self._ranks(spec)) - 1

    def shared(self, arrays: Mapping[str, Shaped]) -> list[str]:
        """Inputs of fixed shape whose array has just that shape: all samples take it as it is.

        Not where its axis 0 may count samples: one sample, and the others have one each as well.
        """
        if not self.whole or self.same:
            return [spec.name for spec in self.inputs if spec.name in self.same]
        exact = [s for s in self.inputs if s.name in arrays and _exact(s, arrays[s.name].shape)]
        others = [s.name for s in self.inputs if s not in exact]
        many = any(n in arrays and arrays[n].shape[:1] != (1,) for n in others)
        return [s.name for s in exact if many or self._cannot_count(s, arrays[s.name].shape)]

    def _cannot_count(self, spec: InputSpec, shape: tuple[int, ...]) -> bool:
        return len(shape) not in self._ranks(spec)

    def count(self, where: str, arrays: Mapping[str, Shaped]) -> int:
        """Number of samples in arrays, after a check of their names and shapes."""
        self._check_names(where, list(arrays))
        for spec in self.inputs:
            self._check_shape(where, spec, arrays[spec.name].shape)
        counts = {spec.name: arrays[spec.name].shape[0] for spec in self.inputs}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{name!r} has {n}" for name, n in counts.items())
            raise DataError("D009", where, found)
        total = next(iter(counts.values()))
        if total > _MOST_EMPTY and all(0 in arrays[name].shape[1:] for name in counts):
            found = f"{total} samples without any"
            raise DataError("D004.empty", where, found)
        return total

    def fit(self, where: str, arrays: Mapping[str, NDArray[Any]], first: int) -> Feeds:
        """Counted arrays as the types of the inputs, with every value finite.

        Args:
            where: Where the arrays come from, for messages.
            arrays: One for every input, `count` passed.
            first: Index of their first sample in the data.
        """
        feeds = {}
        for spec in self.inputs:
            x = arrays[spec.name]
            y = convert(x, spec.dtype)
            if y is None:
                found, dtype = f"values of type {x.dtype}", spec.dtype.name
                raise DataError("D008", where, found, name=spec.name, dtype=dtype)
            _check_finite(where, spec, y, first)
            left_out = self.whole and y.ndim == len(spec.shape)
            feeds[spec.name] = np.expand_dims(y, spec.batch_axis + 1) if left_out else y
        return feeds

    def feed(self, samples: Feeds) -> Feeds:
        """Fitted samples as one run takes them: filled up to the batch, or without its axis."""
        if self.whole:
            return {name: x.reshape(x.shape[1:]) for name, x in samples.items()}
        size = len(next(iter(samples.values())))
        lacking = (self.batch or 0) - size
        if lacking <= 0:
            return samples
        needed = sum(x.nbytes for x in samples.values()) // size * (size + lacking)
        check_room("data", f"a run, which the model fixes at {self.batch} samples,", needed)
        return {
            name: np.concatenate([x, np.repeat(x[-1:], lacking, axis=0)])
            for name, x in samples.items()
        }

    def _fixed(self) -> set[int]:
        firsts = (spec.shape[0] for spec in self.inputs if spec.shape)
        return {size for size in firsts if size is not None}

    def _ranks(self, spec: InputSpec) -> tuple[int, ...]:
        """Ranks that an array for the input may have; several samples make one more axis."""
        rank = len(spec.shape)
        if not self.whole:
            return (rank,)
        batch = spec.shape[spec.batch_axis] if rank else 0
        return (rank, rank + 1) if batch in (None, 1) else (rank + 1,)

    def _sample_shape(self, spec: InputSpec, rank: int) -> tuple[int | None, ...]:
        return spec.shape if rank > len(spec.shape) else spec.sample_shape

    def _check_names(self, where: str, names: list[str]) -> None:
        known = [spec.name for spec in self.inputs]
        extra = [name for name in names if name not in known]
        for name in known:
            if name not in names:
                near = difflib.get_close_matches(name, extra, n=1)
                found = f"there are {_listed(names)}"
                raise DataError(
                    "D005.missing",
                    where,
                    found,
                    name=name,
                    advice=f"rename {near[0]!r} to it" if near else "add one of that name",
                )
        if extra:
            raise DataError("D006", where, repr(extra[0]), advice=close_match(extra[0], known))

    def _check_shape(self, where: str, spec: InputSpec, found: tuple[int, ...]) -> None:
        ranks = self._ranks(spec)
        if len(found) in ranks and _fits(found[1:], self._sample_shape(spec, len(found))):
            return
        expected = self._sample_shape(spec, max(ranks))
        raise DataError(
            "D007.shape",
            where,
            f"shape {found}",
            name=spec.name,
            shape=_shape_text(expected),
            advice=_shape_advice(found, expected),
        )


def _exact(spec: InputSpec, shape: tuple[int, ...]) -> bool:
    """Whether an array has the shape of an input, or that of one sample of it in a row."""
    return None not in spec.shape and shape in (spec.shape, (1, *spec.shape))


def _fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(
        e is None or e == f for e, f in zip(expected, found, strict=True)
    )


def _shape_text(expected: tuple[int | None, ...]) -> str:
    return f"({', '.join(['samples', *('any' if e is None else str(e) for e in expected)])})"


def _shape_advice(found: tuple[int, ...], expected: tuple[int | None, ...]) -> str:
    if _fits(found, expected):
        return "the axis of samples is missing; add it in front with x[None]"
    for layout, order in _LAYOUTS.items():
        if len(found) == len(order) and _fits(tuple(found[i] for i in order[1:]), expected):
            return f"the data look like {layout}; turn them with x.transpose{order}"
    return "give arrays of that shape, with the samples along axis 0"


def _check_finite(where: str, spec: InputSpec, x: NDArray[Any], first: int) -> None:
    if x.dtype.kind != "f" or bool(np.isfinite(x).all()):
        return
    bad = ~np.isfinite(x.reshape(len(x), -1))
    if spec.masks:
        bad &= ~np.isneginf(x.reshape(len(x), -1))
        if not bad.any():
            return
    sample = int(bad.any(axis=1).argmax())
    found = f"sample {first + sample} has {int(bad[sample].sum())} NaN or infinite values"
    raise DataError("D010", where, found, name=spec.name, dtype=x.dtype)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "no arrays"
