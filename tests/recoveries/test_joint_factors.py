"""Joint factors: the function stays on any data, and the noise that is predicted is won."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from lostbits.case import Case
from lostbits.channels.streams import find_streams, rescaled
from lostbits.data import Source
from lostbits.graph.place import place
from lostbits.plan import factor_noise
from lostbits.plan.calibrated import calibrated
from lostbits.plan.factor_noise import FactorNoise
from lostbits.recoveries.joint_factors import JointFactors
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.noise_gains import noise_gains
from lostbits.runtime.session import Session
from lostbits.system.deadline import Deadline
from lostbits.workers.pools import InProcess
from random_nets import random_net, samples_for
from rescalable_nets import Uneven
from small_nets import change_by, make, samples
from text_models import normal, proto
from transformer_nets import FORMS, layer


def moved(model: ir.Model, feeds: dict[str, np.ndarray], seed: int) -> tuple[int, float]:
    """How many streams there are, and how far any factors on them move an output."""
    streams, random = find_streams(model), np.random.default_rng(seed)
    pairs = [(s, np.exp(random.uniform(-2, 2, s.channels))) for s in streams]
    before, after = (Session(m).run(feeds) for m in (model, rescaled(model, pairs)))
    largest = [(np.abs(v - before[n]).max(), np.abs(before[n]).max()) for n, v in after.items()]
    return len(streams), max(float(d / max(m, 1e-6)) for d, m in largest if np.size(d))


@pytest.mark.parametrize("first", range(0, 80, 10))
def test_factors_on_streams_of_random_networks_move_no_output(first: int) -> None:
    for seed in range(first, first + 10):
        model = random_net(seed)
        feeds = samples_for(model, 3, seed)
        normalised = normal(model)
        normed = any(stream.norms for stream in find_streams(normalised))
        most = 1e-3 if normed else 1e-4  # an epsilon stands beside the variance of a channel
        assert moved(normalised, feeds, seed)[1] < most, seed


@pytest.mark.parametrize("form", FORMS[::3])
def test_factors_on_streams_of_transformers_move_no_output(form: tuple[str, str, str]) -> None:
    model = normal(layer(*form))
    streams, distance = moved(model, {"x": samples(0, 2, *shape_of(model))}, 0)
    assert distance < 1e-4
    # Nothing is a stream yet where a normalization subtracts the square of the mean.
    assert streams >= 2 or form[0] == "mean_of_squares"


def shape_of(model: ir.Model) -> tuple[int, ...]:
    shape = model.graph.inputs[0].shape
    assert shape is not None
    return tuple(d for d in shape[1:] if isinstance(d, int))


def residual(net: Uneven, *, clip: bool = False) -> str:
    """Two inverted residual blocks, whose channels are unlike."""
    bend = net.relu6 if clip else (lambda x: net.add("Relu", [x]))

    def conv(x: str, outputs: int, inputs: int, group: int = 1, kernel: int = 1) -> str:
        weight = net.uneven(outputs, inputs // group, kernel, kernel)
        pads = [kernel // 2] * 4
        return net.add("Conv", [x, weight, net.bias(outputs)], group=group, pads=pads)

    x = conv(bend(conv("x", 8, 3, kernel=3)), 8, 8)
    for _ in range(2):
        y = bend(conv(x, 16, 8))
        y = bend(conv(y, 16, 16, group=16, kernel=3))
        x = net.add("Add", [x, conv(y, 8, 16)])
    pooled = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    return net.gemm(pooled, 8, 5)


def block(folder: Path, target: str, *, clip: bool = False) -> tuple[Source, Case]:
    net = Uneven(5)
    return make(
        folder, net.model([3, 8, 8], residual(net, clip=clip)), samples(3, 48, 3, 8, 8), target
    )


def test_a_residual_stream_has_one_vector_of_factors(tmp_path: Path) -> None:
    _, case = block(tmp_path, "qnn-htp")
    (stream,) = (s for s in find_streams(case.model) if len(s.writers) == 3)
    assert len(stream.readers) == 3  # two expansions, and the classifier


NORMED = """
    g (float[N,3,6,6] x) => (float[N,2,6,6] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w)
        b = InstanceNormalization <epsilon = %g> (a, g, h)
        c = Relu(b)
        d = Conv <pads = [1, 1, 1, 1]> (c, v)
        e = InstanceNormalization <epsilon = %g> (d, g, h)
        y = Conv (e, u)
    }"""


def normed(folder: Path, epsilon: float = 1e-5) -> tuple[Source, Case]:
    """Channels of unlike size, each of which is divided by its own deviation."""
    random = np.random.default_rng(0)
    sizes = np.geomspace(1, 10, 8).reshape(-1, 1, 1, 1)
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 3, 3), "u": (2, 8, 1, 1)}
    constants = {name: random.normal(size=shape) for name, shape in shapes.items()}
    constants |= {"w": constants["w"] * sizes, "v": constants["v"] * sizes[::-1]}
    constants |= {"g": random.uniform(0.5, 2, 8), "h": random.normal(size=8)}
    arrays = {name: array.astype(np.float32) for name, array in constants.items()}
    model = proto(NORMED % (epsilon, epsilon), **arrays)
    return make(folder, model, samples(0, 16, 3, 6, 6), "onnxruntime")


def test_a_normalization_of_each_channel_forgets_its_factor(tmp_path: Path) -> None:
    """Before it, all channels can have one size: a scale that they share loses nothing."""
    source, case = normed(tmp_path)
    before, between = find_streams(case.model)[:2]
    assert [len(s.norms) for s in (before, between)] == [1, 0]
    assert not before.readers and len(between.readers) == 1
    change = change_by(JointFactors(), case, source)
    assert change.model is not None and change.predicted_gain_db is not None
    judge = Judge(case.model, source, compared=case.compared)
    moved = judge.of(change.model).sqnr_db
    assert moved is None or moved > 80
    figures = (case, another(case, change.model, source))
    plain, joint = (judge(each).sqnr_db for each in figures)
    assert plain is not None and joint is not None and joint > plain + 3
    assert change.predicted_gain_db == pytest.approx(joint - plain, abs=2)


def test_variances_near_epsilon_get_no_factors(tmp_path: Path) -> None:
    """There a factor would change what the normalization adds to the variance."""
    source, case = normed(tmp_path, epsilon=0.1)
    change = change_by(JointFactors(), case, source)
    model = case.model if change.model is None else change.model
    moved = Judge(case.model, source, compared=case.compared).of(model).sqnr_db
    assert moved is None or moved > 100


def another(case: Case, model: ir.Model, source: Source) -> Case:
    return calibrated(model, place(model, case.target), case.target, source, batch=8)


@pytest.mark.parametrize("target", ["qnn-htp", "snpe", "tensorrt"])
def test_noise_under_factors_is_that_of_the_rescaled_network(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factor_noise, "_UNSURE", 0.0)
    source, case = block(tmp_path, target)
    streams, random = find_streams(case.model), np.random.default_rng(0)
    factors = [np.exp(random.uniform(-1, 1, s.channels)) for s in streams]
    new = another(case, rescaled(case.model, list(zip(streams, factors, strict=True))), source)

    def noise(case: Case, logs: list[torch.Tensor | None]) -> float:
        gains = noise_gains(case, source, InProcess(), weights=True)
        return float(FactorNoise(case, gains, find_streams(case.model), 0.5)(logs))

    nothing: list[torch.Tensor | None] = [None] * len(streams)
    predicted = noise(case, [torch.from_numpy(np.log(f)).float() for f in factors])
    assert predicted == pytest.approx(noise(new, nothing), rel=2e-3)
    assert predicted != pytest.approx(noise(case, nothing), rel=0.05)


def test_a_search_ends_when_its_time_is_up(tmp_path: Path) -> None:
    source, case = block(tmp_path, "qnn-htp")
    gains = noise_gains(case, source, InProcess(), weights=True)
    noise = FactorNoise(case, gains, find_streams(case.model), 0.5)
    found = noise.least(Deadline.after(0))
    assert (found.gain_db, {float(f) for each in found.each for f in each}) == (0.0, {1.0})
    assert noise.least().gain_db > 1


@pytest.mark.slow
@pytest.mark.parametrize(("target", "clip"), [("qnn-htp", False), ("snpe", True)])
def test_the_noise_of_a_network_falls_as_predicted(tmp_path: Path, target: str, clip: bool) -> None:
    source, case = block(tmp_path, target, clip=clip)
    change = change_by(JointFactors(left=1.0), case, source)
    assert change.model is not None and change.predicted_gain_db is not None
    each = (case, another(case, change.model, source))
    before, after = (Judge(c.model, source, compared=c.compared)(c).sqnr_db for c in each)
    assert before is not None and after is not None
    assert after - before > 1
    assert change.predicted_gain_db > 1


def test_scales_of_channels_leave_bounded_tensors_alone(tmp_path: Path) -> None:
    source, case = block(tmp_path, "qnn-htp", clip=True)
    change = change_by(JointFactors(), case, source)
    assert change.model is not None
    assert [n.op_type for n in change.model.graph] == [n.op_type for n in case.model.graph]
