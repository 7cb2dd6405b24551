"""Functions without slope or value at a point that quantized values come to: roots, logarithms."""

import math
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from audio_nets import byte_classifier, byte_strings, layer_norm, stft_mini, waves, with_function
from lostbits.data import Batch
from lostbits.diagnoses.finite import check_finite
from lostbits.errors import SimulationError
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.chords import pointed
from lostbits.runtime.compare_networks import compare
from lostbits.runtime.executor import Executor
from lostbits.runtime.path_gradients import slopes
from lostbits.runtime.simulation import Simulation
from runs import codes, diagnosed, recovered
from small_nets import Net, cnn, make, samples

pytestmark = pytest.mark.slow

TARGETS = ("onnxruntime", "qnn-htp", "snpe", "tensorrt")
NETWORKS = {
    "stft": (stft_mini(0), waves(0)),
    "log of stft": (stft_mini(1, tail=("Log",)), waves(1)),
    "log of root": (stft_mini(2, tail=("Sqrt", "Log")), waves(2)),
    "bytes": (byte_classifier(0), byte_strings(0)),
    "bytes, cancelling": (byte_classifier(3), byte_strings(3)),
    "bytes, quotient": (byte_classifier(1, root="Div"), byte_strings(1)),
}
# What is added to the values of a Relu, which are scaled before.
FUNCTIONS: dict[str, tuple[float, float]] = {
    "Sqrt": (0.0, 1.0),
    "Log": (1e-3, 1.0),
    "Log, hardly above zero": (1e-20, 1.0),
    "Reciprocal": (1e-3, 1.0),
    "Pow 0.5": (0.0, 1.0),
    "Pow 1.5": (0.0, 1.0),
    "Pow -0.5": (1e-3, 1.0),
    "Pow -1": (1e-3, 1.0),
    "Pow 3": (0.0, 1.0),
    "Acos": (-1.0, 0.2),
    "Asin": (-1.0, 0.2),
    "Atan": (0.0, 1.0),
    "Atanh": (-0.999, 0.2),
    "Erf": (0.0, 1.0),
    "Sinh": (0.0, 5.0),
    "Exp": (0.0, 10.0),
    "Softmax": (0.0, 100.0),
}


def figures(value: Any) -> Iterator[float]:
    if is_dataclass(value):
        yield from figures(vars(value))
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from figures(inner)
    elif isinstance(value, float):
        yield value


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def assert_sound(result: Diagnosis) -> None:
    assert all(math.isfinite(f) for f in figures(result))
    network = result.network
    total = sum(a.value for a in network.attributions)
    assert total == pytest.approx(network.total, rel=0.05)
    assert result.baseline.sqnr_db is not None
    assert result.findings


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_diagnoses_are_finite_and_close(name: str, target: str, tmp_path: Path) -> None:
    model, data = NETWORKS[name]
    assert_sound(diagnosed(saved(model, tmp_path), data, target))


def test_permutations_take_over_where_gradients_do_not_close(tmp_path: Path) -> None:
    """Rows without variance become whole signals as soon as anything is added to them."""
    model, data = NETWORKS["bytes, cancelling"]
    network = diagnosed(saved(model, tmp_path), data, "snpe").network
    assert network.method == "permutation" and "basis.open" in codes(network.note)
    assert network.residual == pytest.approx(0, abs=1e-9)
    asked = diagnosed(saved(model, tmp_path), data, "snpe", method="aumann-shapley")
    assert asked.network.method == "aumann-shapley"
    assert "note.residual" in {note.code for note in asked.notes}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["stft", "log of stft", "bytes"])
def test_recoveries_are_finite_and_close(name: str, target: str, tmp_path: Path) -> None:
    model, data = NETWORKS[name]
    options: dict[str, Any] = {"iterations": 10, "out": tmp_path / "out"}
    result = recovered(saved(model, tmp_path), data, target, **options).report
    assert_sound(result)
    assert (tmp_path / "out" / "quantized.onnx").exists()
    assert "ledger.failed" not in {entry.note.code for entry in result.ledger}


@pytest.mark.parametrize("target", ["onnxruntime", "snpe"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_finite_and_close(name: str, target: str, tmp_path: Path) -> None:
    op, _, exponent = name.split(",", maxsplit=1)[0].partition(" ")
    offset, scale = FUNCTIONS[name]
    exponents = [float(exponent)] if exponent else []
    model = with_function(0, op, *exponents, offset=offset, scale=scale)
    assert_sound(diagnosed(saved(model, tmp_path), samples(0, 24, 6), target))


def test_the_replay_ends_at_the_quantized_values_themselves(tmp_path: Path) -> None:
    """Some squares are rounded to zero; the root of zero is zero, and not of minus a last bit."""
    source, case = make(tmp_path, stft_mini(0), waves(0), "onnxruntime")
    part = next(iter(source.batches(16)))
    (expected,), frozen = Simulation(case).run(part)
    executor, seen = Executor(case.model, case.attributed_sites), {}

    class Ends:
        def at_site(self, site: Any, x: torch.Tensor, part: Batch) -> None:
            pass

        def at_node(self, pair: Any, frozen: Any) -> None:
            seen[pair.step.operator.op_type] = pair

    compare(executor, part, frozen, [Ends()])
    root = seen["Sqrt"]
    zeros = root.quantized_inputs[0] == 0
    assert zeros.any()
    assert not (root.quantized_inputs[0] < 0).any()
    assert (root.quantized_outputs[0][zeros] == 0).all()
    last = seen["Conv"]
    (site,) = executor.by_tensor[last.step.outputs[0]]
    replayed = last.quantized_outputs[0] + frozen.total[site.key]
    np.testing.assert_allclose(replayed.numpy(), expected, atol=1e-6 * np.abs(expected).max())


def test_a_chord_gives_the_whole_change_at_any_place(tmp_path: Path) -> None:
    """Of the root of an input that is rounded to zero, anywhere on the straight way there."""
    net = Net(0)
    data = np.concatenate([np.linspace(0, 10, 64), np.full(64, 0.015)]).astype(np.float32)[:, None]
    model = net.model([1], net.add("Sqrt", [net.add("Relu", ["x"])]))
    source, case = make(tmp_path, model, data, "snpe")
    part = next(iter(source.batches(128)))
    (outputs,), frozen = Simulation(case).run(part)
    executor = Executor(case.model, case.attributed_sites)
    (floats,) = compare(executor, part, frozen, [])
    change = (torch.from_numpy(outputs) - floats).double()

    def value(found: list[torch.Tensor]) -> torch.Tensor:
        return (found[0].double() - floats)[64:].sum()  # linear: one node is exact

    for t in (0.1, 0.5, 0.999):
        found = slopes(executor, part.feeds, frozen, t, value)
        total = sum(float(v.sum()) for (_, kind), v in found.items() if kind == "total")
        assert total == pytest.approx(float(change[64:].sum()), rel=1e-3)


def test_ordinary_networks_have_no_such_points(tmp_path: Path) -> None:
    _, case = make(tmp_path, cnn(0), samples(0, 8, 3, 16, 16))
    assert not pointed(Executor(case.model, case.attributed_sites))
    net = Net(0)
    x = net.add("Pow", [net.gemm("x", 6, 4), net.constant(np.array(2.0))])
    x = net.add("Div", [x, net.constant(np.array(6.0))])
    _, case = make(tmp_path, net.model([6], x), samples(0, 8, 6), "onnxruntime")
    assert not pointed(Executor(case.model, case.attributed_sites))


def test_what_is_not_a_number_is_refused_where_it_arises(tmp_path: Path) -> None:
    """A number that is quantized to zero, by itself, and a quantizer behind it."""
    net = Net(0)
    x = net.add("Relu", [net.gemm("x", 6, 8)])
    x = net.add("Add", [x, net.constant(np.array(1e-5))])
    ratio = net.add("Div", [x, x])
    path = saved(net.model([6], net.gemm(ratio, 8, 4)), tmp_path)
    with pytest.raises(SimulationError, match=rf"S005: tensor '{ratio}' of the quantized .*: NaN"):
        diagnosed(path, samples(0, 24, 6), "snpe")


def test_what_a_quantizer_limits_again_is_sound(tmp_path: Path) -> None:
    """A variance is quantized to zero; its reciprocal is infinite, and limited to its range."""
    net, data = Net(0), 20 * samples(0, 24, 6)
    data[::4] = 0.25
    y = layer_norm(net, "x", 6, "Reciprocal")
    path = saved(net.model([6], net.gemm(y, 6, 4)), tmp_path)
    assert_sound(diagnosed(path, data, "onnxruntime"))


def test_a_figure_that_is_none_is_refused_by_name() -> None:
    rows = [{"tensor": "a", "mse": 1.0}, {"tensor": "b", "mse": {"round": math.nan}}]
    check_finite({"sites": rows[:1], "sqnr_db": None})
    with pytest.raises(SimulationError, match=r"S008: .*sites.mse.round of 'b'.*: nan"):
        check_finite({"sites": rows})
