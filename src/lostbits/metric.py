"""Contract of a metric: what a network answers to samples -> one number, higher is better.

A metric sees all samples at once, because many (mAP, a retrieval rank) are no mean over samples.
Most compare with what the float network answers; those with labels compare with the truth.
"""

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import DataError, SimulationError, described

Arrays = Mapping[str, NDArray[Any]]
Labels = Literal["none", "classes", "any"]  # whole numbers, one a sample; or anything, one a sample


@final
@dataclass(frozen=True)
class Answers:
    """What a network answers to some samples.

    Attributes:
        outputs: By name; axis 0 counts samples. An array of objects, one array a sample, where
            shapes differ from sample to sample.
        floats: The same of the float network.
        samples: What went in, in the same form.
        labels: The truth, axis 0 counting samples; or None.
    """

    outputs: Arrays
    floats: Arrays
    samples: Arrays
    labels: NDArray[Any] | None = None

    @property
    def of_float(self) -> "Answers":
        """The float network in the place of the other."""
        return replace(self, outputs=self.floats)

    def at(self, rows: NDArray[np.int64]) -> "Answers":
        """Some of the samples."""
        outputs, floats, samples = (
            {n: x[rows] for n, x in a.items()} for a in (self.outputs, self.floats, self.samples)
        )
        return Answers(outputs, floats, samples, None if self.labels is None else self.labels[rows])

    @property
    def first(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The first float output, of the network and of the float one."""
        name = next(n for n, x in self.floats.items() if x.dtype.kind in "fO")
        return self.outputs[name], self.floats[name]


class Metric(abc.ABC):
    """One way to say how good answers are; a value, whose fields are its settings.

    Attributes:
        name: What users type.
        title: One line for the list of metrics.
        source: Author and year of the formula.
        kinds: Of outputs that it is for; see ``runtime.output_figures.Kind``. None stands for all.
        range: Least and largest value.
        labels: What labels it needs.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ()
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    labels: ClassVar[Labels] = "none"

    @abc.abstractmethod
    def measure(self, answers: Answers) -> float:
        """The figure of all samples together; infinite where an error is none.

        Raises:
            DataError: D047 where labels do not fit, D048 where outputs do not.
        """


Called = Callable[[dict[str, NDArray[Any]], Any, Any], float]


@final
@dataclass(frozen=True)
class Custom(Metric):
    """A function of the user's: ``(outputs, samples, labels) -> float``.

    Attributes:
        function: As given.
        label: How it was named, for texts.
        loss: Of a batch, ``(outputs, reference) -> torch scalar``, where the function has one.
    """

    function: Called
    label: str
    loss: Callable[..., Any] | None = None
    name: ClassVar[str] = "metric"
    title: ClassVar[str] = "a function of the user's"
    source: ClassVar[str] = ""
    range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    labels: ClassVar[Labels] = "any"

    def measure(self, answers: Answers) -> float:
        """What the function returns for the outputs; it may keep or change what it is given."""
        outputs, samples = (
            {n: x.copy() for n, x in a.items()} for a in (answers.outputs, answers.samples)
        )
        return float(self.function(outputs, samples, answers.labels))


def named(metric: Metric) -> str:
    """How texts name it."""
    return metric.label if isinstance(metric, Custom) else metric.name


def figure_of(metric: Metric, answers: Answers) -> float:
    """The figure, if it is a number.

    Raises:
        SimulationError: S021 where the metric fails, S022 where the figure is none.
    """
    where = f"metric {named(metric)}"
    try:
        value = float(metric.measure(answers))
    except (DataError, SimulationError, MemoryError):
        raise
    except Exception as error:  # whatever a function of somebody else's raises
        raise SimulationError("S021", where, described(error)) from error
    if np.isnan(value) or value == -np.inf:
        raise SimulationError("S022", where, str(value))
    return value


def check_repeats(metric: Metric, answers: Answers) -> float:
    """The figure of the float network, which two calls must agree on.

    Raises:
        SimulationError: S023 where they do not.
    """
    first, second = (figure_of(metric, answers.of_float) for _ in range(2))
    if first != second:
        found = f"{first!r}, then {second!r} for the same answers"
        raise SimulationError("S023", f"metric {named(metric)}", found)
    return first


def joined(parts: Sequence[Arrays], sizes: Sequence[int]) -> dict[str, NDArray[Any]]:
    """What batches hold, in one array each; axis 0 counts samples.

    Args:
        parts: Arrays of each batch, by name.
        sizes: Samples of each batch.
    """
    names = parts[0] if parts else ()
    return {
        n: _stacked(
            [row for p, size in zip(parts, sizes, strict=True) for row in _rows(p[n], size)]
        )
        for n in names
    }


def _rows(values: NDArray[Any], size: int) -> list[NDArray[Any]]:
    """One array a sample.

    Raises:
        DataError: D048 where nothing tells which values belong to which sample.
    """
    if values.ndim and values.shape[0] == size:
        return list(values)
    if size == 1:
        return [values]
    found = f"shape {values.shape} for {size} samples"
    raise DataError("D048.rows", "an output", found)


def _stacked(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    ragged = np.empty(len(rows), object)
    ragged[:] = rows
    return ragged
