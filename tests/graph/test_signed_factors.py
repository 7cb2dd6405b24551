"""Factors of both signs in front of pairs, which OpenVINO computes wrongly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lostbits.backends import backend
from lostbits.exporters import exporter
from lostbits.graph.signed_factors import signed_before_quantizers, signed_tensors
from lostbits.target import REGIONS
from lostbits.targets import OPENVINO
from lostbits.verbs.load import load
from lostbits.verbs.verify import verify
from small_nets import Net, samples

SIGNED = np.array([1, -1, 0.7, -0.4, 2, -2])


def net(op: str, factor: Any = SIGNED, shift: float = 0.0, limit: str = "Relu") -> onnx.ModelProto:
    """A pooled layer, a factor a channel, a limit, and a layer behind it."""
    made = Net(0)
    x = made.add("Relu", [made.add("Conv", ["x", made.normal(6, 6, 3, 3), made.bias(6)])])
    x = made.add("MaxPool", [x], kernel_shape=[2, 2])
    if op == "BatchNormalization":
        rest = [np.full(6, shift), np.zeros(6), np.ones(6)]
        x = made.add(op, [x, made.constant(factor), *map(made.constant, rest)])
    else:
        x = made.add(op, [x, made.constant(np.reshape(factor, (1, 6, 1, 1)))])
    x = made.add(limit, [x])
    x = made.add("Relu", [made.add("Conv", [x, made.normal(6, 6, 3, 3), made.bias(6)])])
    flat = made.add("Flatten", [made.add("GlobalAveragePool", [x])])
    return made.model([6, 14, 14], made.gemm(flat, 6, 4))


NETS = {
    "mul": (net("Mul"), True),
    "div": (net("Div"), True),
    "norm": (net("BatchNormalization"), True),
    "shift": (net("BatchNormalization", shift=0.3), False),
    "one sign": (net("Mul", -np.abs(SIGNED)), False),
    "leaky": (net("Mul", limit="LeakyRelu"), False),
}
# As other tools place pairs for OpenVINO.
OTHERS = replace(OPENVINO, placement=replace(OPENVINO.placement, in_float=REGIONS))
DATA = samples(0, 16, 6, 14, 14) * np.float32(0.3)


def file_of(name: str, target: Any) -> bytes:
    case = load(NETS[name][0], DATA, target)
    wishes = [f"{s.tensor}=7bit" for s in case.sites if s.role == "weight"]  # no saturation
    case = load(NETS[name][0], DATA, target, overrides=wishes)
    (content,) = exporter("qdq-openvino").write(case).values()
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_they_are_found_in_files_and_not_in_own_ones(name: str) -> None:
    def found(target: Any) -> list[str]:
        model = ir.from_proto(onnx.load_from_string(file_of(name, target)))
        return signed_before_quantizers(model.graph)

    assert bool(found(OTHERS)) == NETS[name][1]
    assert not found(OPENVINO)


def test_a_variance_below_zero_is_no_factor() -> None:
    """It makes NaN in any runtime; what reads the graph says nothing of it."""
    model = net("BatchNormalization")
    norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    (variance,) = (i for i in model.graph.initializer if i.name == norm.input[4])
    variance.CopyFrom(onnx.numpy_helper.from_array(-np.ones(6, np.float32), variance.name))
    assert not signed_tensors(ir.from_proto(model).graph)
    assert signed_tensors(ir.from_proto(net("BatchNormalization")).graph)


def test_thousands_of_moves_lie_between_a_pair_and_its_layer() -> None:
    made = Net(0)
    x = made.add("Mul", ["x", made.constant(np.reshape(SIGNED, (1, 6, 1, 1)))])
    scale = made.constant(np.array(0.1))  # without a zero point: uint8
    x = made.add("DequantizeLinear", [made.add("QuantizeLinear", [x, scale]), scale])
    for _ in range(3000):
        x = made.add("Transpose", [x], perm=[0, 1, 3, 2])
    y = made.add("Conv", [x, made.normal(6, 6, 3, 3)])
    assert len(signed_before_quantizers(ir.from_proto(made.model([6, 14, 14], y)).graph)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_openvino_computes_own_files_rightly_and_others_as_told(name: str, tmp_path: Path) -> None:
    if not backend("openvino").installed():
        pytest.skip("openvino is not installed")
    (tmp_path / "net.onnx").write_bytes(file_of(name, OPENVINO))
    row = verify(tmp_path / "net.onnx", "openvino", DATA)
    assert row.sqnr_db_vs_simulation is None or row.sqnr_db_vs_simulation > 100
    (tmp_path / "others.onnx").write_bytes(file_of(name, OTHERS))
    row = verify(tmp_path / "others.onnx", "openvino", DATA)
    causes = set() if row.first_deviation is None else {row.first_deviation.cause}
    assert causes == ({"signed_factors"} if NETS[name][1] else set())
