"""The verbs on every pool: the same figures to the last bit, whoever computed them."""

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lostbits import cli
from lostbits.api import Settings, demo_files, diagnose
from lostbits.errors import WorkerError
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
    nodes: Any = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1}
    )
    nodes.add_node(num_cpus=1)
    yield nodes.address
    nodes.shutdown()


@needs_ray
def test_a_cluster_of_two_nodes_finds_what_one_process_finds(
    alone: dict[str, Any], cluster: str
) -> None:
    assert figures(Resources(ray=cluster)) == alone


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("Version mismatch: The cluster was started with Ray: 2.9.0"), "W006"),
        (ConnectionError("Could not find any running Ray instance"), "W005"),
    ],
)
@needs_ray
def test_a_cluster_that_ray_refuses_has_a_code(
    error: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(WorkerError, match=rf"{code}: --ray.*{str(error)[:20]}"):
        figures(Resources(ray="auto"))


@needs_ray
def test_an_address_where_nobody_answers_has_a_code() -> None:
    with pytest.raises(WorkerError, match=r"W005: --ray 127\.0\.0\.1:1: .*ray start --head"):
        figures(Resources(ray="127.0.0.1:1"))
    with pytest.raises(WorkerError, match=r"W005: --ray photos\.npy"):
        figures(Resources(ray="photos.npy"))


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lostbits.runtime.pools.ray.find_spec", lambda name: None)
    with pytest.raises(WorkerError, match=r"W004: --ray.*lostbits\[ray\]"):
        figures(Resources(ray="local"))


def test_workers_and_a_cluster_at_once_are_refused(tmp_path: Path) -> None:
    line = ["diagnose", str(FILES["model"]), "--data", str(FILES["data"]), "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.app, [*line, "--workers", "2", "--ray"])
    assert result.exit_code == 2
    assert "W007: --workers 2 --ray" in result.stderr
