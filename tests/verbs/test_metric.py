"""What counts in a recovery: the user's metric, labels, and what comes of a goal in accuracy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lostbits as lb
from lostbits.errors import LostbitsError
from lostbits.metric import Custom
from lostbits.verbs.demo import demo_files
from small_nets import cnn, samples

DEMO = demo_files()
COUNT = 40


@pytest.fixture
def net(tmp_path: Path) -> lb.Case:
    return lb.load(cnn(3), samples(4, COUNT, 3, 16, 16), "snpe")


def name_of_output(case: lb.Case) -> str:
    return str(case.model.graph.outputs[0].name)


def test_a_metric_that_disagrees_with_sqnr_decides(net: lb.Case) -> None:
    """Most noise is best by it: nothing that makes outputs cleaner is kept for that."""
    name = name_of_output(net)
    floats: list[Any] = []

    def noise(outputs: dict[str, Any], given: Any, labels: Any) -> float:
        if not floats:
            floats.append(outputs[name].copy())  # the first call is with float's
        whole = floats[0]
        return float(np.abs(outputs[name]).sum() - np.abs(whole[: len(outputs[name])]).sum())

    plain = lb.recover(net, budget=20, methods=["bias_correction", "ranges"])
    found = lb.recover(net, budget=20, metric=noise, methods=["bias_correction", "ranges"])
    before, after = found.before.metric, found.after.metric
    assert before is not None and after is not None
    assert after.quantized is not None and before.quantized is not None
    assert after.quantized >= before.quantized
    assert plain.after.sqnr_db is not None and found.after.sqnr_db is not None
    assert plain.after.sqnr_db >= found.after.sqnr_db


def test_a_goal_in_the_metric_is_met_by_it(net: lb.Case) -> None:
    found = lb.recover(net, budget=20, metric="sqnr", goal="metric>=37")
    assert found.goal_met and found.after.metric is not None
    assert found.after.metric.quantized == pytest.approx(found.after.sqnr_db)
    assert found.report.recovered is not None and not found.report.recovered.wider


def test_a_goal_in_accuracy_reaches_precision_without_labels_of_what_teaches() -> None:
    case = lb.load(DEMO["model"], DEMO["data"], "snpe", calibration=DEMO["calibration"], samples=32)
    wishes: dict[str, Any] = {"methods": ["precision"], "budget": 30}
    found = lb.recover(case, labels=DEMO["labels"], goal="accuracy_drop<=0.02", **wishes)
    assert found.goal_met and found.ledger[0].method == "precision"


def test_a_loss_is_attributed_and_closes(net: lb.Case) -> None:
    name = name_of_output(net)

    def loss(outputs: Any, reference: Any) -> Any:
        return (outputs[name] - reference[name]).square().sum(-1).mean()

    metric = Custom(lambda o, s, t: 1.0, "ours", loss)
    found = lb.diagnose(net, metric=metric)
    assert found.network.metric == "loss" and abs(found.network.residual) < 0.02
    assert {n.code for n in found.notes} >= {"note.loss_attributed"}
    assert found.verdict.figures["first"].code == "verdict.metric"  # type: ignore[union-attr]
    other = lb.diagnose(net, metric="cosine")
    assert other.network.metric == "nsr"
    assert {n.code for n in other.notes} >= {"note.metric_decides"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"metric": "agreemnt"}, "T007"),
        ({"metric": "accuracy"}, "D047"),
        ({"metric": "miou", "labels": np.zeros(COUNT)}, "D048"),
        ({"metric": lambda o, s, t: float("nan")}, "S022"),
        ({"metric": Custom(lambda o, s, t: 1.0, "l", lambda o, r: 3.0)}, "S024"),
    ],
)
def test_what_is_no_metric_here_is_refused(net: lb.Case, options: Any, code: str) -> None:
    with pytest.raises(LostbitsError, match=code):
        lb.diagnose(net, **options)


def test_what_is_written_is_made_on_all_samples(net: lb.Case) -> None:
    """Nothing is kept: what remains is the plan of all samples, as ``load`` makes it."""
    found = lb.recover(net, methods=["fewer_bits"])
    assert found.case.plan == net.plan and found.before == found.after
    assert found.outcome.written is not None and len(found.outcome.wider) == 3
