"""What a runtime makes of a case, and unsigned weights where it makes less of signed ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

import lostbits as lb
from lostbits.arithmetics import X86_AVX2, X86_VNNI
from lostbits.attempts import in_runtime
from lostbits.attempts.in_runtime import InRuntime
from lostbits.attempts.ledger import Entry
from lostbits.backend import Backend, Executed, Loaded
from lostbits.case import Case
from lostbits.errors import BackendError
from lostbits.kernels.simulated import in_arithmetic
from lostbits.recoveries import ALL, Ranges
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.session import Session
from lostbits.system.deadline import NEVER, Deadline
from lostbits.target import Arithmetic
from text_models import proto, random

# All near their largest: every pair of products is far beyond 16 bits.
NET = proto(
    "net (float[N, 64] x) => (float[N, 8] y) { y = MatMul (x, w) }",
    w=0.9 + np.tanh(random(64, 8)) / 10,
)
DATA = np.random.default_rng(1).uniform(0.8, 1, (32, 64)).astype(np.float32)


class Running(Loaded):
    def __init__(self, model: ir.Model, arithmetic: Arithmetic, integers: int) -> None:
        self.names = [str(o.name) for o in model.graph.outputs]
        self.session = Session(in_arithmetic(model, arithmetic).model, optimise=False)
        self.executed: Sequence[Executed] = [Executed("MatMul", "int8", True, ())] * integers
        self.precision = "float32"

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        found = self.session.run(feeds)
        return {f"{name}:0": found[name] for name in self.names}


@dataclass(frozen=True)
class Runtime(Backend):
    """A processor with or without wide sums, whatever this one is."""

    kernels: Arithmetic
    integers: Callable[[ir.Model], int] = lambda model: 1
    name = "onnxruntime"
    title = "a processor"
    format = "qdq-onnxruntime"
    module = "onnxruntime"

    def version(self) -> str:
        return "1"

    def load(self, content: bytes) -> Loaded:
        model = ir.from_proto(onnx.ModelProto.FromString(content))
        return Running(model, self.kernels, self.integers(model))


class Refusing(Runtime):
    def load(self, content: bytes) -> Loaded:
        raise BackendError("B002", "backend", "no")


class Failing(Runtime):
    def load(self, content: bytes) -> Loaded:
        model = ir.from_proto(onnx.ModelProto.FromString(content))
        running = Running(model, self.kernels, 1)
        running.names = []
        return running


def signed(model: ir.Model) -> int:
    """Kernels of a runtime that has none for unsigned weights."""
    codes = [v.const_value for n, v in model.graph.initializers.items() if n == "w:weight__codes"]
    return sum(c is not None and c.dtype == ir.DataType.INT8 for c in codes)


@pytest.fixture
def case() -> Case:
    return lb.load(NET, data=DATA, target="onnxruntime")


def tried(
    case: Case, runtime: Backend, monkeypatch: pytest.MonkeyPatch, deadline: Deadline = NEVER
) -> tuple[Case, list[Entry]]:
    monkeypatch.setattr(in_runtime, "BACKENDS", (runtime,))
    assert case.origin is not None
    source = case.origin.judged.source  # type: ignore[attr-defined]
    judge = Judge(case.model, source, compared=case.compared)
    return InRuntime(judge, ALL, deadline).tried(case, 0.0, judge(case))


def test_codes_lose_their_sign_where_pairs_are_cut_off(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, (entry,) = tried(case, Runtime(X86_AVX2), monkeypatch)
    assert entry.kept and entry.gain_db > 20
    assert (entry.method, entry.scope) == ("unsigned_weights", "runtime")
    assert not best.plan["w:weight"].grid.signed
    site = next(s for s in case.sites if s.key == "w:weight")
    assert np.array_equal(best.quantized_constant(site), case.quantized_constant(site))


def test_they_keep_it_where_nothing_is_lost(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    best, (unsigned, fewer) = tried(case, Runtime(X86_VNNI), monkeypatch)
    assert best is case
    assert not unsigned.kept and unsigned.gain_db == 0
    assert (fewer.method, fewer.kept) == ("fewer_bits", False)


def test_they_have_fewer_bits_where_the_runtime_would_leave_its_integer_kernels(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, (unsigned, fewer) = tried(case, Runtime(X86_AVX2, signed), monkeypatch)
    assert not unsigned.kept and unsigned.gain_db > 20
    assert fewer.kept and fewer.gain_db > 20
    grid = best.plan["w:weight"].grid
    assert (grid.signed, grid.bits) == (True, 7)


@pytest.mark.parametrize("vnni", [False, True])
def test_it_is_said_where_there_was_no_time(
    case: Case, vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_runtime, "has_vnni", lambda: vnni)
    best, entries = tried(case, Refusing(X86_AVX2), monkeypatch, Deadline.after(-1.0))
    assert best is case
    found = [(entry.method, entry.kept, entry.note.code) for entry in entries]
    wanted = [("unsigned_weights", False, "ledger.no_time_in_runtime")]
    assert found == ([] if vnni else wanted)


def test_nothing_is_run_without_runtime_or_need(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(case, Refusing(X86_AVX2), monkeypatch) == (case, [])
    assert tried(case, Failing(X86_AVX2), monkeypatch) == (case, [])
    told = lb.load(NET, data=DATA, target="onnxruntime", arithmetic="x86-avx2")
    assert tried(told, Runtime(X86_AVX2), monkeypatch) == (told, [])
    other = lb.load(NET, data=DATA, target="tensorrt")
    assert tried(other, Runtime(X86_AVX2), monkeypatch) == (other, [])
    monkeypatch.setattr(in_runtime, "BACKENDS", (Runtime(X86_AVX2),))
    judge = Judge(case.model, case.origin.judged.source)  # type: ignore[union-attr]
    assert InRuntime(judge, (Ranges(),), NEVER).tried(case, 0.0, judge(case)) == (case, [])


@pytest.mark.parametrize(("vnni", "seconds"), [(False, 8.0), (True, 0.0)])
def test_time_is_kept_for_it_where_the_processor_may_need_it(
    case: Case, vnni: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_runtime, "has_vnni", lambda: vnni)
    monkeypatch.setattr(in_runtime, "BACKENDS", (Runtime(X86_AVX2),))
    judge = Judge(case.model, case.origin.judged.source)  # type: ignore[union-attr]
    assert InRuntime(judge, ALL, NEVER).seconds(case, 2.0) == seconds
    assert InRuntime(judge, (Ranges(),), NEVER).seconds(case, 2.0) == 0
    other = lb.load(NET, data=DATA, target="tensorrt")
    assert InRuntime(judge, ALL, NEVER).seconds(other, 2.0) == 0
