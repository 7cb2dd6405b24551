"""What kernels add to the error, attributed beside round and clip."""

import ast
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bright_nets import bright, bright_net
from lostbits.arithmetics import TFLITE, X86_AVX2, X86_VNNI
from lostbits.diagnoses.tried import Tried
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.executor import Executor
from lostbits.runtime.simulation import Simulation, replayed
from lostbits.target import Arithmetic
from lostbits.targets import target, with_arithmetic
from lostbits.verbs.diagnose import diagnose
from lostbits.verbs.load import load
from lostbits.verbs.origin import origin_of
from runs import diagnosed
from small_nets import Net, built, cnn, linear, mlp, samples

NARROW = replace(X86_VNNI, name="sum-16", accumulator_bits=16)
LIMITED = replace(NARROW, name="limited-16", overflow="saturate")
CUTTING = replace(X86_VNNI, name="cutting", requantization="fixed", rounding="floor")
RULES = [X86_AVX2, NARROW, LIMITED, CUTTING, TFLITE]
NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "cnn": (cnn, (3, 16, 16)),
    "linear": (linear, (6,)),
    "mlp": (mlp, (6,)),
}


def db(found: Diagnosis) -> float:
    assert found.baseline.sqnr_db is not None
    return found.baseline.sqnr_db


def wishes_of(command: str) -> list[str]:
    """Of a call, which is printed where samples have no path."""
    call = ast.parse(command, mode="eval")
    named = {k.arg: k.value for k in ast.walk(call) if isinstance(k, ast.keyword)}
    return list(ast.literal_eval(named["overrides"]))


def on(arithmetic: Arithmetic | None, name: str = "onnxruntime") -> Any:
    return with_arithmetic(target(name), arithmetic)


@pytest.mark.parametrize("own", RULES, ids=lambda own: own.name)
@pytest.mark.parametrize("kind", NETS)
def test_errors_of_sites_and_kernels_replay_the_simulated_network(
    kind: str, own: Arithmetic, tmp_path: Any
) -> None:
    make, shape = NETS[kind]
    data = samples(1, 6, *shape)
    source, case = built(make(1), data, on(own), tmp_path)
    part = next(iter(source.batches(6)))
    outputs, frozen = Simulation(case).run(part)
    executor = Executor(case.model, case.error_sites)
    with torch.no_grad():
        again = executor.run(part.feeds, replayed(frozen))
    for one, other in zip(again, outputs, strict=True):
        np.testing.assert_allclose(part.real(one).numpy(), other, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("own", RULES, ids=lambda own: own.name)
@pytest.mark.parametrize("kind", NETS)
def test_shares_add_up_with_what_kernels_add(kind: str, own: Arithmetic) -> None:
    make, shape = NETS[kind]
    found = diagnosed(make(0), samples(0, 8, *shape), on(own))
    assert abs(found.network.residual) <= 0.03
    assert sum(a.share for a in found.network.attributions) == pytest.approx(
        1 + found.network.residual, abs=1e-6
    )
    for layer in found.layers:
        assert sum(layer.shares.values()) == pytest.approx(1, abs=1e-6) or not layer.error


@pytest.mark.slow
def test_pairs_that_leave_int16_are_the_first_finding_and_its_cure_holds() -> None:
    model, data = bright_net(), bright()
    plain, wide = (diagnosed(model, data, on(own)) for own in (None, X86_VNNI))
    found = diagnosed(model, data, on(X86_AVX2))
    first = found.findings[0]
    assert (first.code, first.reason, first.cause) == ("F016", "pair_overflow", "accumulate")
    assert first.share > 0.5
    assert db(found) < db(wide) - 3
    wishes = wishes_of(first.command)
    assert wishes and all(wish.endswith("=unsigned") for wish in wishes)
    cured = diagnose(load(model, data, on(X86_AVX2), overrides=wishes))
    assert db(cured) == pytest.approx(db(wide), abs=0.01)
    won = db(cured) - db(found)
    assert first.gain_db == pytest.approx(won, abs=0.01)
    assert db(wide) == pytest.approx(db(plain), abs=0.2)
    assert {f.reason for f in wide.findings}.isdisjoint({"pair_overflow", "sum_overflow"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bright", "cnn", "linear"])
def test_what_a_cure_of_pairs_wins_is_what_it_then_wins(kind: str) -> None:
    made = {"bright": bright_net(), "cnn": cnn(0), "linear": linear(0)}[kind]
    data = {"bright": bright(), "cnn": samples(0, 8, 3, 16, 16), "linear": samples(0, 8, 6)}[kind]
    case = load(made, data, on(X86_AVX2))
    tried = Tried(case, origin_of(case).judged.source)
    before = db(diagnose(case))
    for how in ("unsigned", "7bit", "float"):
        weights = [site for site in case.sites if site.role == "weight"]
        wishes = [f"{site.tensor}={how}" for site in weights]
        cured = diagnose(load(made, data, on(X86_AVX2), overrides=wishes))
        won = tried.gain_db(dict.fromkeys(weights, how))
        assert won == pytest.approx(db(cured) - before, abs=0.1), how


@pytest.mark.slow
def test_seven_bits_keep_every_pair_in_its_range() -> None:
    model, data = bright_net(), bright()
    report = diagnosed(model, data, on(X86_AVX2)).arithmetic
    assert report is not None
    assert {each.node for each in report.layers} == {"conv0", "conv2"}
    for each in report.layers:
        assert each.kind == "pairs"
        assert each.reach > each.limit == 32767
        assert each.share == pytest.approx(np.mean(each.channels))
    names = [site.tensor for site in load(model, data, on(X86_AVX2)).sites if site.role == "weight"]
    wishes = [f"{name}=7bit" for name in names]
    report = diagnose(load(model, data, on(X86_AVX2), overrides=wishes)).arithmetic
    assert report is not None
    assert not report.layers


@pytest.mark.slow
@pytest.mark.parametrize("own", [NARROW, LIMITED], ids=lambda own: own.name)
def test_sums_that_leave_a_narrow_accumulator_are_told_with_the_bits_that_fit(
    own: Arithmetic,
) -> None:
    model, data = bright_net(), bright()
    found = diagnosed(model, data, on(own))
    first = found.findings[0]
    assert (first.code, first.reason) == ("F017", "sum_overflow")
    wishes = wishes_of(first.command)
    assert wishes and all(wish.endswith("bit") for wish in wishes)
    cured = diagnose(load(model, data, on(own), overrides=wishes))
    assert db(cured) > db(found) + 3


@pytest.mark.slow
def test_what_a_truncating_multiplier_costs_is_told() -> None:
    found = diagnosed(cnn(0), samples(0, 8, 3, 16, 16), on(CUTTING))
    assert {f.code for f in found.findings} >= {"F018"}
    assert found.arithmetic is not None
    assert not found.arithmetic.layers


@pytest.mark.slow
def test_ideal_sums_are_not_told_of() -> None:
    found = diagnosed(mlp(0), samples(0, 8, 6))
    assert found.arithmetic is None
    assert "accumulate" not in {a.cause for a in found.network.attributions}
    assert "note.arithmetic" not in {note.code for note in found.notes}


@pytest.mark.slow
def test_layers_that_are_not_simulated_are_named() -> None:
    net = Net(0)
    weight = net.normal(3, 4, 2, 2)
    x = net.add("ConvTranspose", ["x", weight, net.bias(4)])
    found = diagnosed(net.model([3, 6, 6], x, 4), samples(0, 8, 3, 6, 6), on(NARROW))
    told = next(note for note in found.notes if note.code == "note.arithmetic_ideal")
    assert "convtranspose" in str(told)
