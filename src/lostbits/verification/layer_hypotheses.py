"""Explanations of a deviation for which the layer is computed again, with something else in it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, permutations
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from lostbits.graph.given_values import given_real
from lostbits.graph.qdq_view import Operand
from lostbits.graph.queries import add_initializer, name_of
from lostbits.grid import along
from lostbits.kernels.sums import Adder, added, within
from lostbits.language import Message, say
from lostbits.rounding.unfold import Window, patches
from lostbits.runtime.rules.rule import Operator
from lostbits.runtime.rules.window import Window as Geometry
from lostbits.verification.evidence import Edit, Evidence, Run
from lostbits.verification.layouts import Layout, Reals
from lostbits.verification.value_hypotheses import Hypothesis, made

_WIDTHS = range(12, 29)  # bits of an accumulator, the narrowest first
_ACTIVATIONS = frozenset({"Clip", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh"})
_FITTED = 0.75  # codes: root of the mean square of a fit that explains all but the rounding
_MOST_PRODUCTS = 1 << 29  # of one run
_WIDE, _PAIRS = Adder(bits=48), Adder(bits=48, pairs="saturate")
_SPARE = 8  # equations more than unknowns
_MOST_ROWS = 20_000
_SLOPES = (0.01, 0.1, 0.2)


def turned(evidence: Evidence, layout: Layout | None) -> Iterator[Hypothesis]:
    """The tensor, or what the layer reads, has its axes or channels in another order."""
    if layout is not None:
        text = say("dump.layout", layout=layout.name)
        yield Hypothesis("layout", 1.0, 1.0, text)
    for name, turn in _turns(evidence.runs[0].planned.shape):
        yield made(evidence, "layout", [turn(r.planned) for r in evidence.runs], _order(name, "of"))
    source = evidence.input_tap()
    if source is not None:
        key = given_real(source)
        shape = np.asarray(evidence.runs[0].feeds[key]).shape
        for name, turn in _turns(shape):
            feeds = {key: [turn(np.asarray(run.feeds[key])) for run in evidence.runs]}
            yield made(evidence, "layout", evidence.again(inputs=feeds), _order(name, "input"))


def _order(name: str, what: str) -> Message:
    return say(f"dump.order_{what}", order=name)


Turn = Callable[[NDArray[Any]], NDArray[Any]]


def _turns(shape: tuple[int, ...]) -> Iterator[tuple[str, Turn]]:
    """Ways in which a tensor of images or sequences is mixed up; its shape stays."""
    if len(shape) < 3:
        return
    yield "reversed channels", lambda x: np.ascontiguousarray(x[:, ::-1])
    for order in permutations(range(1, len(shape))):
        axes = (0, *order)
        if axes != tuple(range(len(shape))) and len(shape) <= 4:
            yield f"axes {list(axes)}", _misread(axes, shape)


def _misread(axes: tuple[int, ...], shape: tuple[int, ...]) -> Turn:
    """Written in one order of the axes, and read in ours."""
    return lambda x: np.ascontiguousarray(x.transpose(axes)).reshape(shape)


def other_activation(evidence: Evidence) -> Iterator[Hypothesis]:
    """An activation that the device leaves out, or puts in."""
    step, zero = float(evidence.tap.scale.ravel()[0]), evidence.zero
    reals = [(run.inside - zero) * step for run in evidence.runs]
    for name, function in _functions():
        codes = [evidence.rounded(function(x) / step + zero) for x in reals]
        yield made(evidence, "activation", codes, say("dump.activation", name=name))
    last = evidence.last
    if last is None or last.op_type not in _ACTIVATIONS or last.inputs[0] is None:
        return
    before = name_of(last.inputs[0])
    if before and last.inputs[0].producer() is not None:
        reals = [np.asarray(v[before], np.float64) for v in evidence.values([before])]
        codes = [evidence.rounded(x / step + zero) for x in reals]
        yield made(evidence, "activation", codes, say("dump.no_activation", name=last.op_type))
        for name, function in _functions():
            codes = [evidence.rounded(function(x) / step + zero) for x in reals]
            yield made(evidence, "activation", codes, say("dump.activation", name=name))


def _functions() -> Iterator[tuple[str, Callable[[Reals], Reals]]]:
    yield "Relu", lambda x: np.maximum(x, 0)
    yield "Relu6", lambda x: np.clip(x, 0, 6)
    yield "HardSwish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1)
    yield "SiLU", lambda x: x * _sigmoid(x)
    yield "Sigmoid", _sigmoid
    yield "HardSigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1)
    yield "Tanh", np.tanh
    for slope in _SLOPES:
        yield f"LeakyRelu {slope:g}", partial(_leaky, slope)


def _leaky(slope: float, x: Reals) -> Reals:
    return np.where(x < 0, slope * x, x)


def _sigmoid(x: Reals) -> Reals:
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, np.float64)))


def accumulator(evidence: Evidence) -> Iterator[Hypothesis]:
    """Sums that leave an accumulator of few bits, and wrap around or stay at its end."""
    node, weight, source = evidence.node, evidence.operand(1), evidence.input_tap()
    if node is None or weight is None or weight.step is None or source is None:
        return
    name = name_of(node.outputs[0])
    values = [np.asarray(v[name], np.float64) for v in evidence.values([name])]
    steps = float(source.scale.ravel()[0]) * weight.step.ravel()
    shape = [1] * values[0].ndim
    shape[evidence.channel_axis(values[0].ndim)] = steps.size
    if steps.size not in {1, values[0].shape[evidence.channel_axis(values[0].ndim)]}:
        return
    unit = steps.reshape(shape)
    sums = [np.rint(v / unit).astype(np.int64) for v in values]
    for bits in _WIDTHS:
        if max(int(np.abs(s).max()) for s in sums) < 1 << bits - 1:
            return
        for how, saturates in (("wrap", False), ("hold", True)):
            adder = Adder(bits=bits, saturates=saturates)
            given = {name: [(within(adder, s) * unit).astype(np.float32) for s in sums]}
            text = say(f"dump.sums_{how}", bits=str(bits))
            yield made(evidence, "saturation", evidence.again(given=given), text)


def pair_sums(evidence: Evidence) -> Iterator[Hypothesis]:
    """Sums of two neighbouring products that are held within 16 bits: x86 without VNNI.

    Which products are neighbours is the kernel's affair: channels are innermost, or outermost.
    """
    node, weight, source = evidence.node, evidence.operand(1), evidence.input_tap()
    if node is None or weight is None or weight.step is None or source is None:
        return
    steps = float(source.scale.ravel()[0]) * weight.step.ravel()
    for inner in (False, True):
        found = [_pair_errors(evidence, run, weight, inner) for run in evidence.runs]
        errors = [each for each in found if each is not None]
        if len(errors) < len(found) or not any(each.any() for each in errors):
            return
        name = name_of(node.outputs[0])
        values = [np.asarray(v[name], np.float64) for v in evidence.values([name])]
        axis = evidence.channel_axis(values[0].ndim)
        moved = [np.moveaxis(v, axis, -1) for v in values]
        changed = [
            np.moveaxis(v + (e * steps).reshape(v.shape), -1, axis)
            for v, e in zip(moved, errors, strict=True)
        ]
        given = {name: [each.astype(np.float32) for each in changed]}
        yield made(evidence, "saturation", evidence.again(given=given), say("dump.pair_sums"))


def _pair_errors(evidence: Evidence, run: Run, weight: Operand, inner: bool) -> Reals | None:
    """What 16 bits take off the sums of every position and channel; None where it is not known."""
    node, source = evidence.node, evidence.input_tap()
    assert node is not None and source is not None and weight.step is not None
    scale, zero = float(source.scale.ravel()[0]), float(source.zero_point.ravel()[0])
    x = np.asarray(run.feeds[given_real(source)], np.float64) / scale
    columns = _columns(node, weight, x.astype(np.float32))
    codes = np.rint(weight.values / weight.step)
    rows = codes.T if _columns_first(node) else codes.reshape(codes.shape[0], -1)
    if columns is None or columns.size * len(rows) > _MOST_PRODUCTS:
        return None
    if inner and codes.ndim > 2:
        order = np.arange(rows.shape[1]).reshape(codes.shape[1], -1).T.ravel()
        columns, rows = columns[:, order], rows[:, order]
    weights = rows[None].astype(np.int64)
    inputs = (np.rint(columns) + zero).T[None].astype(np.int64)
    nowhere = np.zeros(weights.shape[:2], np.int64), 0
    exact, held = (added(rule, weights, inputs, nowhere).values for rule in (_WIDE, _PAIRS))
    lost: Reals = (held - exact)[0].T.astype(np.float64)
    return lost


def _columns_first(node: ir.Node) -> bool:
    """Whether the weight of a product counts what is summed over first."""
    gemm = node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)
    return gemm or node.op_type == "MatMul"


def other_axis(evidence: Evidence) -> Iterator[Hypothesis]:
    """Scales of the weight along another axis, or one scale for all channels."""
    weight = evidence.operand(1)
    if weight is None or weight.step is None or weight.axis is None or weight.zero is None:
        return
    codes, scale = weight.values / weight.step, weight.step.ravel()
    rank = codes.ndim
    for axis in range(rank):
        if axis != weight.axis % rank and codes.shape[axis] == scale.size:
            values = codes * along(scale, rank, axis)
            text = say("dump.axis", found=str(axis), planned=str(weight.axis))
            yield made(evidence, "axis", evidence.again(_constant(evidence, 1, values)), text)
    largest = scale.max()
    anew = np.rint(weight.values / largest) * largest
    for code, values in (("dump.one_scale", anew), ("dump.first_scale", codes * scale[0])):
        again = evidence.again(_constant(evidence, 1, values))
        yield made(evidence, "axis", again, say(code))


def _constant(evidence: Evidence, index: int, values: Reals) -> Edit:
    """Another constant in the layer."""
    node = evidence.node
    assert node is not None

    def edit(graph: ir.Graph) -> None:
        mine = next(n for n in graph if n.name == node.name)
        added = add_initializer(graph, f"{node.name}__other", values.astype(np.float32))
        mine.replace_input_with(index, added)

    return edit


def other_bias(evidence: Evidence) -> Iterator[Hypothesis]:
    """No bias."""
    bias = evidence.operand(2)
    if bias is not None and bias.values.any():
        edit = _constant(evidence, 2, np.zeros_like(bias.values))
        yield made(evidence, "bias", evidence.again(edit), say("dump.no_bias"))


def other_weights(evidence: Evidence) -> Iterator[Hypothesis]:
    """Other weights: a fit of the layer to what it read and gave leaves nothing unexplained.

    Half of the equations of every channel are fitted, and the other half judges.
    """
    weight = evidence.operand(1)
    rows = None if weight is None else _rows(evidence, weight)
    if rows is None:
        return
    x, y, used = rows
    errors = [
        e for channel in range(y.shape[1]) if (e := _residual(x, y, used, channel)) is not None
    ]
    if not errors:
        return
    left = np.concatenate(errors)
    if np.sqrt((left**2).mean()) < _FITTED:
        exact, near = float((left < 0.5 + _FITTED).mean()), float((left < 1 + _FITTED).mean())
        yield Hypothesis("weights", min(exact, 0.995), near, say("dump.weights"))


def _residual(x: Reals, y: Reals, used: NDArray[np.bool_], channel: int) -> Reals | None:
    """Errors, in codes, of the equations that were not fitted."""
    mine = used[:, channel]
    a, b = x[mine], y[mine, channel]
    if len(b) < 2 * (x.shape[1] + _SPARE):
        return None
    fitted = np.arange(len(b)) % 2 == 0
    solution = np.linalg.lstsq(a[fitted], b[fitted], rcond=None)[0]
    apart: Reals = np.abs(a[~fitted] @ solution - b[~fitted])
    return apart


def _rows(evidence: Evidence, weight: Operand) -> tuple[Reals, Reals, NDArray[np.bool_]] | None:
    """What the layer multiplied with a bias of ones, its outputs in codes, and which are whole.

    A rectified or cut value is no equation.
    """
    node, source = evidence.node, evidence.input_tap()
    last = evidence.last
    plain = last is node or (last is not None and last.op_type in {"Relu", "Clip"})
    if node is None or source is None or not plain or len(evidence.tap.nodes) > 2:
        return None
    x = [_columns(node, weight, np.asarray(r.feeds[given_real(source)])) for r in evidence.runs]
    if any(each is None for each in x):
        return None
    axis = evidence.channel_axis(evidence.runs[0].found.ndim)
    y = np.concatenate([_last(run, axis) for run in evidence.runs])
    columns = np.concatenate([each for each in x if each is not None])
    if len(columns) != len(y) or len(columns) < columns.shape[1]:
        return None
    low = max(float(y.min()), evidence.zero if last is not node else -np.inf)
    used = (y > low + 0.5) & (y < y.max() - 0.5)
    ones = np.ones((len(columns), 1))
    some = slice(None, None, max(1, len(y) // _MOST_ROWS))
    return np.hstack([columns, ones])[some], y[some], used[some]


def _last(run: Run, axis: int) -> Reals:
    """The device's codes, channels last, positions in a row."""
    found = np.moveaxis(run.found, axis, -1)
    return found.reshape(-1, found.shape[-1])


def _columns(node: ir.Node, weight: Operand, x: NDArray[np.float32]) -> Reals | None:
    """What one output position multiplies; None for layers whose channels read different ones."""
    if node.op_type in {"Gemm", "MatMul"} and weight.values.ndim == 2:
        if node.attributes.get_int("transA", 0):
            return None
        return x.reshape(-1, x.shape[-1]).astype(np.float64)
    if node.op_type != "Conv" or node.attributes.get_int("group", 1) != 1:
        return None
    kernel = weight.values.shape[2:]
    attributes = {name: each.value for name, each in node.attributes.items()}
    geometry = Geometry.of(Operator(node.op_type, attributes, 13), x.shape[2:], kernel)
    window = Window(
        geometry.kernel, geometry.strides, geometry.dilations, (*geometry.begin, *geometry.end)
    )
    taken: Reals = patches(torch.from_numpy(np.ascontiguousarray(x)), window)[0].double().numpy()
    return taken


def every(evidence: Evidence, layout: Layout | None) -> Sequence[Iterator[Hypothesis]]:
    """All of them, the simplest first."""
    return (
        turned(evidence, layout),
        other_activation(evidence),
        chain(accumulator(evidence), pair_sums(evidence)),
        other_axis(evidence),
        other_bias(evidence),
    )
