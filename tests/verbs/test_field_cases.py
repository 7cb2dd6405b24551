"""What people brought, as small networks of the same kind, with what a right answer is."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import lostbits as lb
from dead_nets import points, unlike_inputs
from field_nets import mobile_v3, suppressed
from lostbits.language import Message
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from output_nets import top_candidates
from small_nets import samples

pytestmark = pytest.mark.slow
IMAGES = samples(4, 48, 3, 16, 16)
EARLIER = ["bias_correction", "second_order"]  # what is tuned to errors that 16 bits remove


def answers(model: Any) -> NDArray[np.int64]:
    (logits,) = Session(model, optimise=False).run({"x": IMAGES}).values()
    return np.asarray(logits.argmax(axis=-1), np.int64)


@pytest.fixture(scope="module")
def mobile() -> lb.Case:
    return lb.load(mobile_v3(), IMAGES, "snpe")


def wide(found: lb.Recovery) -> int:
    return sum(affine.grid.bits == 16 for affine in found.case.plan.values())


def test_earlier_steps_do_not_spoil_precision(mobile: lb.Case) -> None:
    """Case 14: no more tensors of 16 bits, and no fewer right answers, than with it alone."""
    wishes: dict[str, Any] = {"labels": answers(mobile.model), "goal": "accuracy_drop<=0.03"}
    alone = lb.recover(mobile, methods=["precision"], budget=60, **wishes)
    found = lb.recover(mobile, methods=[*EARLIER, "precision"], budget=60, **wishes)
    assert alone.before.accuracy_quantized == pytest.approx(0.8125)
    assert alone.goal_met and found.goal_met
    assert wide(found) <= wide(alone)
    assert found.after.accuracy_quantized == alone.after.accuracy_quantized == 1.0


def test_precision_is_tried_from_the_first_plan_too() -> None:
    """Case 36: what bias correction wins is small beside what 16 bits do, and bars none of it."""
    case = lb.load(unlike_inputs(), points(), "snpe")
    methods = ["bias_correction", "ranges", "precision"]
    found = lb.recover(case, methods=methods, goal="sqnr_db>=31", budget=60)
    assert found.before.sqnr_db == pytest.approx(0.28, abs=0.01)
    assert found.goal_met and wide(found) <= 5


def test_units_of_an_input_are_made_alike() -> None:
    """Case 36: what 8 bits are worth comes back without 16."""
    found = lb.recover(lb.load(unlike_inputs(), points(), "snpe"), methods=["input_scaling"])
    assert found.after.sqnr_db == pytest.approx(31.3, abs=0.1) and not wide(found)


def test_decibels_that_cost_answers_are_not_kept(mobile: lb.Case) -> None:
    """The labels are what the plan answers: whatever comes nearer to float costs right answers."""
    labels = answers(quantized_model(mobile))
    plain = lb.recover(mobile, methods=EARLIER, budget=60)
    found = lb.recover(mobile, methods=EARLIER, budget=60, labels=labels)
    assert {e.method for e in plain.ledger if e.kept} == {*EARLIER}
    kept = [e for e in found.ledger if e.kept]
    worse = [e for e in found.ledger if not e.kept and e.gain_db > 1]
    assert all(right(e.after) >= right(e.before) for e in kept)
    assert worse and all(right(e.after) < right(e.before) for e in worse)
    assert right(found.after) >= right(found.before)


def right(figures: Any) -> float:
    assert figures.accuracy_quantized is not None
    return float(figures.accuracy_quantized)


def test_a_metric_that_disagrees_with_sqnr_ends_better_in_the_metric(mobile: lb.Case) -> None:
    """Best by it are the outputs after one step: the next one, nearer to float, is worse."""
    name = str(mobile.model.graph.outputs[0].name)
    step = lb.recover(mobile, methods=EARLIER[:1], budget=60)
    wanted = Session(quantized_model(step.case), optimise=False)

    def distance(outputs: dict[str, Any], given: Any, labels: Any) -> float:
        return -float(np.square(outputs[name] - wanted.run(given)[name]).mean())

    plain = lb.recover(mobile, methods=EARLIER, budget=60)
    found = lb.recover(mobile, methods=EARLIER, budget=60, metric=distance)
    before, after = found.before.metric, found.after.metric
    assert before is not None and after is not None
    assert before.quantized is not None and after.quantized is not None
    assert after.quantized > before.quantized / 10  # a tenth of the distance, or less
    assert plain.after.sqnr_db is not None and found.after.sqnr_db is not None
    assert plain.after.sqnr_db > found.after.sqnr_db + 1


def test_the_weight_of_unlike_channels_is_named_and_what_bars_equalization(mobile: lb.Case) -> None:
    """Case 14: the op that lets no factor pass is named, and 16 bits in its place."""
    found = lb.diagnose(mobile)
    (finding,) = [f for f in found.findings if f.tensor == "c4"]
    assert (finding.node, finding.reason) == ("conv4", "granularity")
    assert finding.remedy.code == "remedy.barred"
    why = finding.remedy.figures["why"]
    assert isinstance(why, Message) and why.figures == {"op": "HardSwish"}
    assert "16bit" in finding.command
    other = lb.diagnose(lb.load(mobile_v3(act="Relu"), IMAGES, "snpe"))
    (finding,) = [f for f in other.findings if f.tensor == "c4"]
    why = finding.remedy.figures["why"]  # the gate reads it beside what it gates
    assert isinstance(why, Message) and why.code == "skipped.readers"


@pytest.mark.parametrize(
    ("model", "before"),
    [
        (top_candidates(), {"boxes_all", "scores_all"}),
        (suppressed(), {"boxes_all", "scores_flat"}),
    ],
)
def test_a_whole_detector_is_measured_before_it_chooses(
    model: onnx.ModelProto, before: set[str]
) -> None:
    """Case 40: indices, class numbers and what a choice reads stay out of the plan."""
    found = lb.diagnose(lb.load(model, samples(4, 24, 3, 16, 16), "onnxruntime"))
    assert {each.name for each in found.baseline.outputs} == before
    assert abs(found.network.residual) < 0.02
    behind = {"found", "kept", "values", "places", "own", "number", "chosen"}
    assert not behind & {site.tensor for site in found.sites}
    assert "note.chosen" in {note.code for note in found.notes}
