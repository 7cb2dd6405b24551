"""The verbs on every pool: the same figures to the last bit, whoever computed them."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from lostbits.api import Settings, demo_files, diagnose
from lostbits.runtime.pool import Resources

FILES = demo_files()
VOLATILE = ("seconds", "created", "peak_memory_bytes")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


def figures(resources: Resources, **more: Any) -> dict[str, Any]:
    """The result but for times, on so many samples that every pass has several stretches."""
    settings = Settings(labels=FILES["labels"], samples=72, resources=resources, **more)
    result = diagnose(FILES["model"], FILES["data"], "snpe", settings)
    return {key: value for key, value in result.items() if key not in VOLATILE}


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return figures(Resources(threads=1))


def test_four_workers_find_what_one_process_finds(alone: dict[str, Any]) -> None:
    assert figures(Resources(workers=4, threads=1)) == alone
    assert alone["data"]["samples"] == 72


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two nodes on this machine; the address."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes.address
    nodes.shutdown()


@needs_ray
def test_a_cluster_of_two_nodes_finds_what_one_process_finds(
    alone: dict[str, Any], cluster: str
) -> None:
    assert figures(Resources(ray=cluster)) == alone
