"""Findings: reason, order, forecast and wording, from reports made by hand."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

import made_results
from lostbits.case import Case, Seen
from lostbits.diagnoses.findings import CODES, LEAST_SHARE, MOST, findings, reason_of
from lostbits.diagnoses.predicted_gain import predicted_gain, uneven_inputs
from lostbits.graph.place import Placed
from lostbits.graph.site import Role, Site, Use
from lostbits.language import Message, say, verbatim
from lostbits.plan.ranges import make_plan
from lostbits.plan.tensor_settings import Override
from lostbits.results.diagnosis import Attribution, Cause, Finding, NetworkReport
from lostbits.results.sites import LostBits, SiteReport, Utilisation
from lostbits.targets import target

SNPE, TENSORRT = target("snpe"), target("tensorrt")
NO_LOSS = LostBits(0.1, 0.0, 0.0, 0.0, 0.0, "best", 0.1)
RANDOM = np.random.default_rng(0)
# Channels of a thousandth, of one and of eight: one scale for all leaves the first with nothing.
VALUES = (RANDOM.normal(0, 1, (64, 3, 5, 5)) * np.array([0.001, 1, 8])[:, None, None]).astype(
    np.float32
)
WEIGHT = RANDOM.normal(0, 1, (4, 3, 1, 1)).astype(np.float32)


def case(platform: str = "snpe", weight: Any = WEIGHT) -> Case:
    """A convolution with one weight; tensors x, w, b."""
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT))
    w = ir.Value(name="w", const_value=ir.tensor(weight, name="w"))
    bias = np.zeros(weight.shape[0], np.float32)
    b = ir.Value(name="b", const_value=ir.tensor(bias, name="b"))
    node = ir.node("Conv", [x, w, b], name="conv")
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[w, b])
    sites = (
        Site("x", "activation", "", (Use("conv", 0),), "x", axis=1),
        Site("w", "weight", "conv", (Use("conv", 1),), "w", axis=0, per_channel=True),
        Site("b", "bias", "conv", (Use("conv", 2),), "b", scales=("x", "w:weight")),
    )
    known = {"x:activation": Seen.of(VALUES, 1), "w:weight": Seen.of(weight, 0)}
    placed = Placed(sites, {})
    chosen = target(platform)
    model = ir.Model(graph, ir_version=10)
    plan = make_plan(model, placed, known, chosen, [Override("x", method="min_max")])
    return Case(model, chosen, placed, known, plan, {"y": 1.0}, 64)


def used(codes: float, share: float) -> Utilisation:
    return Utilisation(codes, 256, 7.0, share, 0.0, 0.0)


def site(tensor: str = "x", **changes: Any) -> SiteReport:
    roles: dict[str, Role] = {"x": "activation", "w": "weight", "b": "bias"}
    channels = [[2, -12.8, 12.7], [1, -1.0, 1.0], [0, -0.001, 0.001]]
    known = {"lost_bits": NO_LOSS, "utilisation": used(200.0, 0.9), "channel_range": channels}
    node = "" if tensor == "x" else "conv"
    return made_results.site(tensor, roles[tensor], node, **{**known, **changes})


def lost(**steps: Any) -> LostBits:
    return replace(NO_LOSS, **steps)


def part(tensor: str = "x", cause: Cause = "round", share: float = 0.6) -> Attribution:
    return Attribution(tensor, site(tensor).role, cause, share, share)


def network(
    *parts: Attribution, channels: Mapping[str, list[float]] | None = None
) -> NetworkReport:
    table = dict(channels or {})
    return NetworkReport("aumann-shapley", "nsr", 1.0, 0.0, 1.0, list(parts), table, verbatim(""))


def found(*parts: Attribution, platform: str = "snpe", **changes: Any) -> list[Finding]:
    sites = [site(t, **(changes if t == parts[0].tensor else {})) for t in ("x", "w", "b")]
    return findings(case(platform), sites, network(*parts), "lostbits diagnose m.onnx")


REASONS: list[tuple[str, Attribution, dict[str, Any]]] = [
    ("granularity", part(), {"lost_bits": lost(granularity=2.5, symmetry=1.0)}),
    ("symmetry", part("w"), {"lost_bits": lost(symmetry=1.0)}),
    ("scale_format", part("w"), {"lost_bits": lost(scale_format=0.8)}),
    (
        "too_wide",
        part(),
        {
            "lost_bits": lost(range_choice=4.0, direction="too_wide", granularity=1.0),
            "utilisation": used(16.0, 1 / 16),
        },
    ),
    (
        "too_narrow",
        part(cause="clip"),
        {
            "lost_bits": lost(range_choice=5.0, direction="too_narrow", granularity=2.0),
            "mse_clip": 9e-4,
        },
    ),
    ("resolution", part("w"), {"bits": 3}),
    ("resolution", part("b"), {"bits": 32, "lost_bits": None}),
    ("bias_overflow", part("b", "clip"), {"bits": 32, "lost_bits": None}),
]


@pytest.mark.parametrize(("reason", "share", "changes"), REASONS)
def test_every_reason(reason: str, share: Attribution, changes: dict[str, Any]) -> None:
    (finding,) = found(share, **changes)
    assert finding.reason == reason
    assert finding.code == CODES[finding.reason]
    assert (finding.tensor, finding.role, finding.cause) == (share.tensor, share.role, share.cause)
    assert finding.share == share.share
    assert math.isfinite(finding.bits) and finding.bits >= 0
    assert math.isfinite(finding.gain_db) and finding.gain_db >= 0


@pytest.mark.parametrize(("reason", "share", "changes"), REASONS)
def test_texts_name_tensor_share_and_remedy(
    reason: str, share: Attribution, changes: dict[str, Any]
) -> None:
    (finding,) = found(share, **changes)
    figures = finding.text.figures
    assert isinstance(figures["name"], Message)
    assert figures["name"].figures["tensor"] == share.tensor
    assert (figures["share"], figures["remedy"]) == ("60%", finding.remedy)
    for nonsense in ("nan", "inf ", "None", "  ", ".."):
        assert nonsense not in str(finding.text)
    if " --methods " in finding.command:  # no setting of one tensor that the target takes helps
        assert finding.command.startswith("lostbits recover m.onnx --methods ")
        return
    assert finding.command.startswith("lostbits diagnose m.onnx --set ")
    assert Override.parse(finding.command.split()[-1]).tensor == share.tensor


def test_what_a_typical_channel_is_left_with_is_said() -> None:
    (finding,) = found(part(), lost_bits=lost(granularity=2.5))
    because, cost = finding.text.figures["because"], finding.text.figures["cost"]
    told = {"channels": "2", "times": "12.8", "used": "21", "levels": "256"}
    assert because == say("because.channels", **told)
    assert cost == say("finding.cost", bits="2.5")


def test_how_far_a_range_is_too_wide_is_said() -> None:
    changes = REASONS[3][2]
    (finding,) = found(part(), **changes)
    because = finding.text.figures["because"]
    assert isinstance(because, Message) and because.code == "because.too_wide"
    told = [because.figures[name] for name in ("times", "used", "levels")]
    assert told == ["16.0", "16", "256"]


def test_a_small_step_is_not_the_reason() -> None:
    assert reason_of(site(lost_bits=lost(granularity=0.4)), part()).reason == "resolution"
    assert reason_of(site(lost_bits=lost(granularity=0.6)), part()).reason == "granularity"


def test_clipping_that_pays_is_not_blamed_on_the_range() -> None:
    share = part(cause="clip")
    good = lost(range_choice=0.0, direction="best", granularity=1.0)
    assert reason_of(site(lost_bits=good), share).reason == "granularity"
    bad = lost(range_choice=3.0, direction="too_narrow", granularity=1.0)
    assert reason_of(site(lost_bits=bad), share).reason == "too_narrow"


def test_a_narrow_range_is_not_blamed_for_what_rounding_does() -> None:
    narrow = lost(range_choice=3.0, direction="too_narrow")
    assert reason_of(site(lost_bits=narrow), part(cause="round")).reason == "resolution"


def test_findings_are_ordered_by_share_then_name() -> None:
    parts = [part("w", share=0.2), part("x", share=0.2), part("b", share=0.5)]
    assert [f.tensor for f in found(*parts)] == ["b", "w", "x"]
    assert [f.tensor for f in found(*parts[::-1])] == ["b", "w", "x"]


def test_small_shares_are_left_out_but_never_all() -> None:
    small = LEAST_SHARE / 4
    assert [f.tensor for f in found(part("x"), part("w", share=small))] == ["x"]
    assert [f.tensor for f in found(part("x", share=small), part("w", share=0.001))] == ["x"]
    assert found(part("x", share=small))[0].text.figures["share"] == "0.5%"


def test_no_loss_no_finding() -> None:
    assert found(part("x", share=0.0), part("w", share=0.0)) == []


def test_there_are_never_too_many() -> None:
    assert len(found(*[part("x", share=0.03)] * 20)) == MOST


# The forecast.


def gain(
    setting: str, tensor: str = "x", shares: tuple[float, float] = (0.9, 0.1), **more: Any
) -> float:
    parts = network(part("x", share=shares[0]), part("w", share=shares[1]), **more)
    subject = case()
    chosen = next(s for s in subject.sites if s.tensor == tensor)
    return predicted_gain(subject, parts, chosen, setting)


def test_float_wins_the_whole_share() -> None:
    assert gain("float") == pytest.approx(10)


def test_sixteen_bits_win_nearly_as_much() -> None:
    assert 9.9 < gain("16bit") < 10


def test_what_is_planned_already_wins_nothing() -> None:
    assert gain("min_max") == pytest.approx(0, abs=1e-9)


def test_a_channel_counts_by_what_it_does_to_the_output() -> None:
    small = gain("per_channel", channels={"x:activation": [0.9, 0.0, 0.0]})
    large = gain("per_channel", channels={"x:activation": [0.0, 0.0, 0.9]})
    assert small == pytest.approx(10, abs=0.1)
    assert large == pytest.approx(0, abs=0.1)


def test_what_is_not_attributed_is_not_promised() -> None:
    assert gain("float", shares=(0.5, 0.1)) == pytest.approx(10 * math.log10(2))


def test_sites_that_cancel_others_are_no_debt() -> None:
    assert gain("float", shares=(1.01, -0.01)) == pytest.approx(40)


def test_channels_are_planned_by_extremes_where_the_method_is_for_whole_tensors() -> None:
    subject = case("tensorrt")
    assert predicted_gain(subject, network(part()), subject.sites[0], "per_channel") > 0
    (finding,) = found(part(), platform="tensorrt", lost_bits=lost(granularity=2.5))
    assert finding.command.endswith("--methods migration,equalization")


# Uneven input channels of a weight.


def test_even_weights_lose_nothing_to_their_inputs() -> None:
    subject = case(weight=np.ones((4, 3, 1, 1), np.float32))
    assert uneven_inputs(subject, subject.sites[1]) == 0


def test_small_weights_of_strong_inputs_lose_bits() -> None:
    weight = np.ones((4, 3, 1, 1), np.float32)
    weight[:, 2] = 1 / 64  # what the strongest channel of x meets
    subject = case(weight=weight)
    assert 2.5 < uneven_inputs(subject, subject.sites[1]) <= 6
    parts = network(part("w"))
    (finding,) = findings(subject, [site("w")], parts, "lostbits diagnose")
    assert finding.reason == "granularity"
    assert finding.remedy == say("remedy.equalize")
    assert finding.command.endswith("--methods equalization,migration")


def test_sites_without_input_channels_lose_nothing_to_them() -> None:
    subject = case()
    assert uneven_inputs(subject, subject.sites[0]) == 0
    assert uneven_inputs(subject, subject.sites[2]) == 0
