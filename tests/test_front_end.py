"""Whole architectures and ONNX's node tests go through a diagnosis, or are refused with a code.

``benchmarks/front_end.py`` does the same with all of them, in processes of their own.
"""

import pytest
from front_end_guard import Job, Outcome, attempt
from front_end_models import light_jobs
from front_end_nodes import node_jobs, node_names

from lostbits.targets import ALL

PART = 6  # every sixth of ONNX's node tests

pytestmark = pytest.mark.filterwarnings("ignore")


def closes(outcome: Outcome) -> bool:
    """Whether every site was matched and the attributions add up to the measured total."""
    return outcome.matched == outcome.sites > 0 and abs(outcome.residual) <= 0.05


@pytest.mark.parametrize("target", [t.name for t in ALL])
def test_a_whole_architecture_is_diagnosed_on_every_target(target: str) -> None:
    (job,) = light_jobs(["light_squeezenet"], [target])
    outcome = attempt(job)
    assert outcome.status == "ran", outcome.detail
    assert closes(outcome), outcome
    assert outcome.method == "aumann-shapley"


@pytest.mark.parametrize("first", range(0, len(node_names()), 60))
def test_every_node_test_runs_or_is_refused_with_a_code(first: int) -> None:
    names = [n for i, n in enumerate(node_names()) if i % PART == 0 and first <= i < first + 60]
    outcomes = [attempt(job) for job in node_jobs(names, "snpe")]
    crashed = [f"{o.name}: {o.detail}" for o in outcomes if o.status == "crashed"]
    assert not crashed, "\n".join(crashed)
    assert all(o.code for o in outcomes if o.status == "refused")
    assert all(closes(o) for o in outcomes if o.status == "ran"), outcomes


def test_most_node_tests_in_float32_run() -> None:
    names = ["test_add", "test_conv_with_strides_padding", "test_gemm_all_attributes", "test_lstm_defaults",
             "test_maxpool_2d_pads", "test_softmax_axis_1", "test_resize_upsample_sizes_nearest"]
    outcomes = {o.name: o.status for o in map(attempt, node_jobs(names, "snpe"))}
    assert set(outcomes.values()) == {"ran"}, outcomes


def test_an_exception_without_a_code_counts_as_a_crash() -> None:
    def broken() -> object:
        raise KeyError("nothing")

    assert attempt(Job("broken", "snpe", broken)).status == "crashed"  # type: ignore[arg-type]
