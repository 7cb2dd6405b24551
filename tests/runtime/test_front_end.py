"""Whole architectures and ONNX's node tests go through a diagnosis, or are refused with a code.

``benchmarks.front_end`` does the same with all of them, in processes of their own.
"""

import pytest

from benchmarks.front_end.guard import Job, attempt
from benchmarks.front_end.models import light_jobs
from benchmarks.front_end.nodes import node_jobs, node_names

SHARES, PART = 16, 6  # every sixth of ONNX's node tests, in shares

# Warnings of numpy and torch, on odd values.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("target", ["snpe", "tensorrt"])
def test_a_whole_architecture_is_diagnosed(target: str) -> None:
    (job,) = light_jobs(["light_squeezenet"], [target])
    outcome = attempt(job)
    assert outcome.status == "ran", outcome.detail
    assert outcome.matched == outcome.sites > 0
    assert abs(outcome.residual) <= 0.05
    assert outcome.method == "aumann-shapley"


@pytest.mark.parametrize("share", range(SHARES))
def test_every_node_test_runs_or_is_refused_with_a_code(share: int) -> None:
    """As given and with constants for all but one input, in turn."""
    names = node_names()[::PART][share::SHARES]  # not while collecting: ONNX takes ten seconds
    jobs = [job for n, job in enumerate(node_jobs(names, "snpe")) if n % 4 in (0, 3)]
    outcomes = [attempt(job) for job in jobs]
    crashed = [f"{o.name}: {o.detail}" for o in outcomes if o.status == "crashed"]
    assert not crashed, "\n".join(crashed)
    assert len(outcomes) == len(names)
    assert all(o.code for o in outcomes if o.status == "refused")
    assert all(o.matched == o.sites > 0 for o in outcomes if o.status == "ran")


@pytest.mark.parametrize(
    "name",
    [
        "test_add",
        "test_conv_with_strides_padding",
        "test_gemm_all_attributes",
        "test_lstm_defaults",
        "test_maxpool_2d_pads",
        "test_resize_upsample_sizes_nearest",
        "test_softmax_axis_1",
    ],
)
def test_common_ops_run(name: str) -> None:
    outcomes = [attempt(job) for job in node_jobs([name], "snpe")]
    assert [o.status for o in outcomes] == ["ran", "ran"], outcomes
    assert all(abs(o.residual) <= 0.05 for o in outcomes)


def test_an_exception_without_a_code_counts_as_a_crash() -> None:
    def broken() -> object:
        raise KeyError("nothing")

    assert attempt(Job("broken", "snpe", broken)).status == "crashed"  # type: ignore[arg-type]
