"""The verbs on every pool: the same figures to the last bit, whoever computed them."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lostbits import Recovery
from lostbits.cli import app as cli
from lostbits.data import InputSpec, open_source
from lostbits.errors import WorkerError
from lostbits.recovery import Inputs
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.goal import Goal
from lostbits.verbs.demo import demo_files
from lostbits.workers.pools import InProcess, Ray
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import NAME as WORK
from pool_jobs import Sums
from runs import diagnosed
from runs import figures as bare
from runs import recovered as recovery

pytestmark = pytest.mark.slow

FILES = demo_files()
PATHS = os.pathsep.join(
    [*(str(Path(__file__).parents[1] / n) for n in ("nets", "shared")), *sys.path]
)
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


def figures(progress: Progress = silent, **resources: Any) -> Diagnosis:
    """The result but for times, on so many samples that every pass has several chunks."""
    options: dict[str, Any] = {"labels": FILES["labels"], "samples": 72, "progress": progress}
    return bare(diagnosed(FILES["model"], FILES["data"], "snpe", **options, **resources))


@pytest.fixture(scope="module")
def alone() -> Diagnosis:
    return figures(threads=1)


def test_two_threads_find_what_one_finds(alone: Diagnosis) -> None:
    assert figures(threads=2) == alone


def test_four_workers_find_what_one_process_finds(alone: Diagnosis) -> None:
    assert figures(workers=4, threads=1) == alone
    assert alone.data.samples == 72


@pytest.mark.parametrize("wanted", ["diagnosis"])
def test_a_worker_that_is_killed_in_a_stage_changes_nothing(alone: Diagnosis, wanted: str) -> None:
    killed: list[int] = []

    def kill_one(stage: str, done: int, total: int) -> None:
        workers = active_children()  # none before the first task of the first stage
        if stage == wanted and workers and not killed:
            killed.append(workers[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    assert figures(workers=2, threads=1, progress=kill_one) == alone
    assert killed


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine."""
    utils: Any = importlib.import_module("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        nodes = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes.add_node(num_cpus=1)
        yield nodes
        nodes.shutdown()


@needs_ray
def test_a_cluster_of_two_nodes_finds_what_one_process_finds(
    alone: Diagnosis, cluster: Any
) -> None:
    assert figures(ray=cluster.address) == alone


@needs_ray
def test_a_node_that_is_lost_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    """Its tasks go to the others; what it had finished is not computed again."""
    samples = np.random.default_rng(0).normal(size=(96, 2)).astype(np.float32)
    source = open_source(samples, [InputSpec("x", np.dtype("float32"), (None, 2))])
    items = source.chunks(4, 4)
    expected = list(InProcess().map(Sums(source, tmp_path / ".."), items))
    third = cluster.add_node(num_cpus=1)
    with Ray(cluster.address) as pool:
        outcomes = pool.map(Sums(source, tmp_path, seconds=0.2), items)
        found = [next(outcomes)]
        cluster.remove_node(third, allow_graceful=False)
        found += list(outcomes)
    assert found == expected
    done = Counter(path.name.split("-")[1] for path in tmp_path.glob("done-*"))
    assert len(done) == len(items) and done.total() <= len(items) + 1


DRIVER = """
import sys
from pathlib import Path
from test_sharing import recovered

if __name__ == "__main__":
    recovered(Path(sys.argv[1]))
"""


def recovered(folder: Path, methods: tuple[str, ...] = ("adaround",), **options: Any) -> Recovery:
    """What a recovery of a few steps finds; its finished layers are in the folder."""
    wishes: dict[str, Any] = {"methods": methods, "budget": 1e6, "iterations": 8}
    usual: dict[str, Any] = {"samples": 24, "threads": 1, "hold_out": True, "out": folder}
    told = {**wishes, **usual, **options}
    return recovery(FILES["model"], FILES["calibration"], "snpe", **told)


SHARED = ("bias_correction", "second_order", "precision")
WRITTEN = ("quantized.onnx", "plan.json", "written.npz", "float.onnx")


def swept(folder: Path, **options: Any) -> tuple[Any, list[bytes]]:
    """Figures and files of a recovery that shares whatever it can; 33 samples to work on."""
    goal = Goal("sqnr_db", ">=", 60.0)
    found = recovered(folder, SHARED, samples=44, goal=goal, **options)
    rows = bare(found.report).ledger
    assert {row.method for row in rows} == set(SHARED)
    return (rows, found.outcome), [(folder / name).read_bytes() for name in WRITTEN]


@pytest.fixture(scope="module")
def swept_alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[bytes]]:
    return swept(tmp_path_factory.mktemp("alone"))


def test_a_recovery_of_two_threads_is_that_of_one(
    swept_alone: tuple[Any, list[bytes]], tmp_path: Path
) -> None:
    assert swept(tmp_path, threads=2) == swept_alone


@needs_ray
def test_a_recovery_of_a_cluster_of_two_nodes_is_that_of_one_process(
    swept_alone: tuple[Any, list[bytes]], cluster: Any, tmp_path: Path
) -> None:
    assert swept(tmp_path, ray=cluster.address) == swept_alone


@pytest.mark.parametrize("layer", [3])
def test_a_worker_that_is_killed_in_a_sweep_changes_nothing(
    swept_alone: tuple[Any, list[bytes]], tmp_path: Path, layer: int
) -> None:
    killed: list[int] = []

    def kill_one(stage: str, done: int, total: int) -> None:
        if stage == "layers" and done == layer and len(killed) < 2:
            killed.append(active_children()[len(killed)].pid or 0)
            os.kill(killed[-1], signal.SIGKILL)

    assert swept(tmp_path, workers=2, progress=kill_one) == swept_alone
    assert len(killed) == 2


def test_attempts_side_by_side_end_as_one_after_the_other(tmp_path: Path) -> None:
    seen: set[str] = set()
    rows = []
    for workers in (1, 2):
        found = recovered(
            tmp_path / str(workers),
            ("adaround", "reconstruction"),
            samples=32,
            workers=workers,
            progress=lambda stage, done, total: seen.add(stage),
        )
        rows.append((bare(found.report).ledger, found.after))
    assert rows[0] == rows[1] and len(rows[0][0]) == 2
    assert "reconstruction | adaround" in seen
    for name in ("quantized.onnx", "plan.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_layers_that_are_learned_from_float_values_are_shared(tmp_path: Path) -> None:
    found = []
    for name, options in {"1": {}, "2": {"workers": 2}}.items():
        told = {"samples": 32, "inputs": Inputs.FLOAT, **options}
        result = recovered(tmp_path / name, ("adaround",), **told)
        (row,) = result.ledger
        files = [(tmp_path / name / file).read_bytes() for file in ("quantized.onnx", "plan.json")]
        found.append((row.note, result.after, files))
    assert found[0] == found[1]
    chained = recovered(tmp_path / "chained", ("adaround",), samples=32)
    assert chained.after != found[0][1], "the layers before it make a difference"
    assert len(layers_of(tmp_path / "2")) == len(layers_of(tmp_path / "chained"))


def layers_of(folder: Path) -> dict[str, int]:
    """Finished layers, and when each of them was."""
    work = folder / WORK
    return {str(p.relative_to(work)): p.stat().st_mtime_ns for p in work.glob("*/[0-9]*.npz")}


@pytest.mark.parametrize("seed", [0])
def test_a_driver_killed_at_a_random_moment_resumes_to_the_same_result(
    tmp_path: Path, seed: int
) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path / "killed")]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PATHS}) as driver:
        wanted = int(np.random.default_rng(seed).integers(1, 5))
        while driver.poll() is None and len(layers_of(tmp_path / "killed")) < wanted:
            time.sleep(0.01)
        driver.kill()
    before = layers_of(tmp_path / "killed")
    assert driver.returncode == -signal.SIGKILL, "it ended before it was killed"
    resumed, whole = recovered(tmp_path / "killed"), recovered(tmp_path / "whole")
    after = layers_of(tmp_path / "killed")
    assert wanted <= len(before) < len(after) == len(layers_of(tmp_path / "whole"))
    assert before == {name: after[name] for name in before}, "a finished layer was computed again"
    assert resumed.after == whole.after
    for name in ("quantized.onnx", "plan.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


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
        figures(ray="auto")


@needs_ray
def test_an_address_where_nobody_answers_has_a_code() -> None:
    with pytest.raises(WorkerError, match=r"W005: --ray 127\.0\.0\.1:1: .*ray start --head"):
        figures(ray="127.0.0.1:1")
    with pytest.raises(WorkerError, match=r"W005: --ray photos\.npy"):
        figures(ray="photos.npy")


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lostbits.workers.cluster.find_spec", lambda name: None)
    with pytest.raises(WorkerError, match=r"W004: --ray.*lostbits\[ray\]"):
        figures(ray="local")


def test_workers_and_a_cluster_at_once_are_refused(tmp_path: Path) -> None:
    line = ["diagnose", str(FILES["model"]), "--data", str(FILES["data"]), "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.app, [*line, "--workers", "2", "--ray"])
    assert result.exit_code == 2
    assert "W007: --workers 2 --ray" in result.stderr
