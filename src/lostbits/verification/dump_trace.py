"""A dump beside the simulation of the plan, tensor by tensor and run by run.

As for a runtime (``verification.trace``), two differences are measured of every quantized tensor,
in codes: the *whole* one, and the layer's *own*, where the simulated layer is given the very values
that the device had before it. Where the dump lacks a tensor, the layers around it are taken as one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.dump import Content, Stored
from lostbits.errors import DumpError
from lostbits.graph.given_values import given_real, sources, with_reals
from lostbits.graph.qdq_view import Tap, operands, taps_of
from lostbits.graph.queries import is_float, name_of
from lostbits.runtime.session import Session
from lostbits.verification.dump_names import named
from lostbits.verification.dumped_values import (
    SURE,
    Candidate,
    Conventions,
    best,
    by_content,
    misfit,
    of_run,
    related,
)
from lostbits.verification.layouts import Expected, Layout, Reading, Reals, reread
from lostbits.verification.trace import ONE, SOME

_MANY = 0.01  # part of single codes from which they are no chance any more
_CLEARLY = 0.25  # more values within one code, at the sample that a dump is of
Arrays = Mapping[str, NDArray[Any]]


@final
@dataclass
class Figures:
    """How far a tensor of the dump is from the simulation, over all runs.

    Attributes:
        codes, own: Largest whole and own difference, in codes.
        differing, own_differing: Values that are at least half a code off.
        values: Values that were compared.
        runs: Runs of them.
        reading: How the dump is read.
        turned: A layout that fits far better than that of the dump's other tensors.
        error, power: Sums of squares, of the difference and of the simulation, in codes.
        name: In the dump.
    """

    codes: float = 0.0
    own: float = 0.0
    differing: int = 0
    own_differing: int = 0
    values: int = 0
    runs: int = 0
    reading: Reading | None = None
    turned: Layout | None = None
    error: float = 0.0
    power: float = 0.0
    name: str = ""

    def update(self, found: Reals, whole: Reals, own: Reals, zero: Reals) -> None:
        """Take in one run: the dump's codes, those of the simulation, and those on its inputs."""
        apart, alone = _apart(found, whole), _apart(found, own)
        self.codes = max(self.codes, float(apart.max(initial=0)))
        self.own = max(self.own, float(alone.max(initial=0)))
        self.differing += int((apart > SOME).sum())
        self.own_differing += int((alone > SOME).sum())
        self.values += apart.size
        self.error += float((apart**2).sum())
        self.power += float(((whole - zero) ** 2).sum())
        self.runs += 1

    @property
    def own_share(self) -> float:
        """Part of the values that the layer itself rounds otherwise."""
        return self.own_differing / max(self.values, 1)

    @property
    def deviates(self) -> bool:
        """Whether the layer differs by itself, by more than single codes that are chance."""
        return self.turned is not None or self.own > ONE or self.own_share > _MANY

    @property
    def adds_up(self) -> bool:
        """Whether single codes of the layers before it have become more than one."""
        return self.codes > ONE


def _apart(found: Reals, ours: Reals) -> Reals:
    """Magnitude of the difference; none where the dump has no finite value."""
    return np.where(np.isfinite(found), np.abs(np.nan_to_num(found) - ours), 0.0)


@final
@dataclass
class DumpTrace:
    """A dump beside the simulation.

    Args:
        model: Q/DQ graph of the plan.
        stored: The tensors of the dump.
        pairs: Names of the model by names of the dump.

    Attributes:
        taps: Quantized tensors that the dump has, in topological order.
        figures: By codes of a tap, or by name of a float tensor.
        problems: What was found on the way.
    """

    model: ir.Model
    stored: Sequence[Stored]
    pairs: Mapping[str, str]
    taps: list[Tap] = field(default_factory=list)
    figures: dict[str, Figures] = field(default_factory=dict)
    problems: list[DumpError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.every = _without_constants(taps_of(self.model.graph), self.model)
        self.source = sources(self.model.graph)
        self.floats = _float_tensors(self.model, self.every)
        names = {tap.codes: _names(tap) for tap in self.every}
        self.named = named(self.stored, {**names, **{n: (n,) for n in self.floats}}, self.pairs)
        self._files: dict[str, list[Stored]] = {}
        outputs = [tap.codes for tap in self.every]
        self._plain = Session(with_reals(self.model, (), [*outputs, *self.floats]), optimise=False)

        every = (name_of(v) for node in self.model.graph for v in node.outputs)
        self._places = {name: place for place, name in enumerate(every)}

    def order(self, key: str) -> int:
        """Place of a tensor in the network."""
        return self._places.get(key, -1)

    def expected(self, feeds: Arrays) -> dict[str, Expected]:
        """What every tensor should be in one run."""
        values = {**feeds, **self._plain.run(dict(feeds))}
        found = {tap.codes: _of_tap(tap, values[tap.codes]) for tap in self.every}
        return {**found, **{name: _of_float(values[name]) for name in self.floats}}

    def begin(self, feeds: Arrays, numbers: Sequence[int], first: int, total: int) -> None:
        """Settle, by the first run, what of the dump is which tensor, and how it lies.

        Args:
            feeds: Inputs of that run.
            numbers: Of the samples that are compared.
            first: Number that the dump gives the first sample of the data.
            total: Samples in the data, which a file without a number has all of, perhaps.
        """
        self.numbers, self.first, self.runs = numbers, first, total
        if not numbers:
            return
        expected = self.expected(feeds)
        candidates: dict[str, list[Candidate]] = {}
        for key, groups in self.named.found.items():
            candidates |= self._settle(key, groups, expected[key])
        rest = {n: c for n, f in self.named.rest.items() if (c := self._content(f)) is not None}
        wanted = {t.codes: expected[t.codes] for t in self.every if t.codes not in candidates}
        for name, key in by_content(rest, wanted):
            candidates |= self._settle(key, {name: self.named.rest.pop(name)}, expected[key])
        quantized = {t.codes for t in self.every}
        usual = Conventions({k: c for k, c in candidates.items() if k in quantized})
        for key, mine in candidates.items():
            found = mine if mine[0].fit > SURE else self._again(key, expected[key], usual, mine)
            chosen, turned = usual.chosen(found)
            figures = self.figures[key]
            figures.reading = chosen.reading
            figures.turned = turned if related(found) else None
        self.taps = [tap for tap in self.every if tap.codes in self.figures]
        self._forced = self._session() if self.taps else None

    def _again(
        self, key: str, expected: Expected, usual: Conventions, first: list[Candidate]
    ) -> list[Candidate]:
        """Readings of a tensor that is far off, in the way of the others."""
        content = self._content(self._files[key], expected.codes.size)
        return first if content is None else best(content, expected, usual.kinds) or first

    def _content(self, files: Sequence[Stored], size: int = 0) -> Content | None:
        """What the files have of the first run."""
        try:
            return of_run(files, self._number(self.numbers[0], files), self.runs, size)
        except DumpError as error:
            self._remark(error)
            return None

    def _settle(
        self, key: str, groups: Mapping[str, list[Stored]], expected: Expected
    ) -> dict[str, list[Candidate]]:
        """The files of a tensor, and their readings; nothing, and a problem, where none fits."""
        found: dict[str, list[Candidate]] = {}
        for name, files in groups.items():
            try:
                number = self._number(self.numbers[0], files)
                content = of_run(files, number, self.runs, expected.codes.size)
            except DumpError as error:
                self._remark(error)
                continue
            mine = [] if content is None else best(content, expected)
            if content is not None and not mine:
                self.problems.append(misfit(files[0].where, content, expected))
            if mine:
                found[name] = mine
        if not found:
            return {}
        name = self._preferred(key, found)
        self._files[key], self.figures[key] = groups[name], Figures(name=name)
        return {key: found[name]}

    def _number(self, run: int, files: Sequence[Stored]) -> int:
        """What the dump calls a run; files without a number count from 0."""
        return run + self.first * any(f.sample is not None for f in files)

    def _preferred(self, key: str, found: Mapping[str, Sequence[Candidate]]) -> str:
        """The first name, or of several changed ones that whose values are nearest."""
        if key not in self.named.unsure or len(found) < 2:
            return next(iter(found))
        words = ", ".join(map(repr, found))
        self.problems.append(DumpError("V006", f"tensor {key!r}", words))
        return max(found, key=lambda name: found[name][0].fit)

    def _session(self) -> Session:
        inside = [self.source[tap.codes] for tap in self.taps]
        wanted = [*(tap.codes for tap in self.taps), *inside]
        return Session(with_reals(self.model, self.taps, wanted), optimise=False)

    def values(self, run: int, expected: Mapping[str, Expected]) -> dict[str, Reals]:
        """What the dump has of a run, in codes of the plan, by codes of the tap."""
        found = {}
        for key, files in self._files.items():
            value = self._value(key, files, run, expected[key])
            if value is not None:
                found[key] = value
        return found

    def _value(
        self, key: str, files: Sequence[Stored], run: int, expected: Expected
    ) -> Reals | None:
        try:
            number = self._number(run, files)
            content = of_run(files, number, self.runs, expected.codes.size)
        except DumpError as error:
            self._remark(error)
            return None
        if content is None:
            return None
        found = self._read(key, content, expected)
        if found is None:
            self._remark(misfit(files[0].where, content, expected))
        elif not np.isfinite(found).all():
            bad = int((~np.isfinite(found)).sum())
            self._remark(DumpError("V010", f"tensor {key!r}", f"{bad} values are not"))
        return found

    def _read(self, key: str, content: Content, expected: Expected) -> Reals | None:
        """As the first run was read; a run of another size has that layout too."""
        reading = self.figures[key].reading
        assert reading is not None
        found = reread(content, reading, expected)
        if found is not None:
            return found
        name = reading.layout.name
        mine = (c for c in best(content, expected) if c.reading.layout.name == name)
        return next((c.values for c in mine), None)

    def _remark(self, error: DumpError) -> None:
        if str(error) not in {str(each) for each in self.problems}:
            self.problems.append(error)

    def update(self, feeds: Arrays, run: int) -> None:
        """Compare one run."""
        expected = self.expected(feeds)
        found = self.values(run, expected)
        given = {**feeds, **self.reals(found, expected)}
        own = {} if self._forced is None else self._forced.run(given)
        for key, value in found.items():
            whole = expected[key]
            alone = np.asarray(own[key], np.float64) if key in own else whole.codes
            self.figures[key].update(value, whole.codes, alone, whole.zero)

    def reals(self, found: Mapping[str, Reals], expected: Mapping[str, Expected]) -> Arrays:
        """The inputs of the layers: what the dump has, and else what the simulation has."""
        given = {}
        for tap in self.taps:
            known = expected[tap.codes]
            codes = found.get(tap.codes, known.codes)
            codes = np.where(np.isfinite(codes), codes, known.codes)
            given[given_real(tap)] = ((codes - known.zero) * known.step).astype(np.float32)
        return given

    def rows(self) -> Iterator[tuple[Tap, Figures]]:
        """Every quantized tensor of the dump with its figures, in topological order."""
        return ((tap, self.figures[tap.codes]) for tap in self.taps)

    def nearest_run(self, feeds: Sequence[Arrays], numbers: Sequence[int], place: int) -> int:
        """Number of the sample whose simulation is nearest to what the dump has of one run."""
        fits = [self._fit(self.expected(each), numbers[place]) for each in feeds]
        best = int(np.argmax(fits))
        return numbers[best] if fits[best] > fits[place] + _CLEARLY else numbers[place]

    def unrelated(self, key: str) -> bool:
        """Whether the values of a tensor have nothing to do with the plan's."""
        figures = self.figures[key]
        return figures.error > figures.power > 0

    def _fit(self, expected: Mapping[str, Expected], run: int) -> float:
        found = self.values(run, expected)
        shares = [float((_apart(v, expected[k].codes) <= ONE).mean()) for k, v in found.items()]
        return float(np.mean(shares)) if shares else 0.0


def _names(tap: Tap) -> tuple[str, ...]:
    """Names under which a dump may have a tap: its codes, what comes back, the float tensor."""
    return (tap.codes, tap.names[1], tap.names[0])


def _without_constants(taps: Sequence[Tap], model: ir.Model) -> list[Tap]:
    """Taps of what depends on the data."""
    constants = {operand.tensor for operand in operands(model.graph).values()}
    return [tap for tap in taps if not constants & set(tap.names)]


def _float_tensors(model: ir.Model, taps: Sequence[Tap]) -> list[str]:
    """Tensors in float that a device may put out too, without those that are quantized next."""
    mine = {name for tap in taps for name in tap.names}
    return [
        name_of(v)
        for node in model.graph
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}
        for v in node.outputs
        if v.name and is_float(v) and name_of(v) not in mine
    ]


def _of_tap(tap: Tap, codes: NDArray[Any]) -> Expected:
    rank = codes.ndim
    return Expected(np.asarray(codes, np.float64), tap.step(rank), tap.zero(rank), codes.dtype)


def _of_float(values: NDArray[Any]) -> Expected:
    """A float tensor in 127ths of its largest magnitude."""
    reals = np.asarray(values, np.float64)
    most = float(np.abs(reals[np.isfinite(reals)]).max(initial=0)) or 1.0
    step = np.asarray(most / 127)
    return Expected(np.nan_to_num(reals / step), step, np.asarray(0.0), None)
