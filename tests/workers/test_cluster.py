"""A Ray cluster of one's own: nobody else can reach it, and nothing else is reached instead."""

import os
import subprocess
import sys
from importlib.util import find_spec
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lostbits.data import InputSpec, open_source
from lostbits.errors import WorkerError
from lostbits.workers.cluster import _check_only_here
from lostbits.workers.pools import InProcess, Ray
from pool_jobs import Sums

pytestmark = pytest.mark.slow

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
PATHS = os.pathsep.join(
    [*(str(Path(__file__).parents[1] / n) for n in ("nets", "shared")), *(p for p in sys.path if p)]
)
# Straight to the cluster's own server, with whatever token the environment has.
STRANGER = """
import sys
from ray._raylet import GcsClient

print(GcsClient(address=sys.argv[1]).cluster_id)
"""


def family(parent: int) -> set[int]:
    """A process and all that come from it, as /proc knows them."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {parent}
    while more := {child for child, of in parents.items() if of in found} - found:
        found |= more
    return found


def listening(processes: set[int]) -> set[str]:
    """Addresses at which any of them waits for connections."""
    sockets = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(os.readlink(descriptor))
            except OSError:
                continue
    rows = [line.split() for kind in ("tcp", "tcp6") for line in _lines(f"/proc/net/{kind}")]
    return {_address(r[1]) for r in rows if r[3] == "0A" and f"socket:[{r[9]}]" in sockets}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()[1:]


def _address(text: str) -> str:
    """Words of 32 bits in the order of this machine, in hexadecimal digits."""
    digits = text.partition(":")[0]
    words = np.array([int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)], "=u4")
    address = ip_address(words.tobytes())
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def sum_in(pool: Any, folder: Path) -> list[Any]:
    samples = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    source = open_source(samples, [InputSpec("x", np.dtype("float32"), (None, 2))])
    return list(pool.map(Sums(source, folder), source.chunks(4, 4)))


def ask(address: str, **token: str) -> subprocess.CompletedProcess[str]:
    """What a process that knows this token gets from a cluster."""
    shell = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", STRANGER, address],
        env={**shell, "RAY_AUTH_MODE": "token", **token},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@needs_ray
def test_a_cluster_of_ones_own_is_reached_by_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (affinity := tmp_path / "affinity").mkdir()
    monkeypatch.setenv("HOME", str(affinity))
    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")  # where nobody can be
    expected = sum_in(InProcess(), tmp_path)
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    with Ray("local") as pool:
        assert sum_in(pool, tmp_path) == expected
        assert listening(family(os.getpid())) == {"127.0.0.1"}
        own = Path(pool.ray._private.worker._global_node.get_session_dir_path())
        assert own.parents[1].stat().st_mode & 0o777 == 0o700
        address = pool.ray.get_runtime_context().gcs_address
        assert ask(address, RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"]).returncode == 0
        refused = ask(address, RAY_AUTH_TOKEN="0" * 64)
        assert refused.returncode and "uthent" in refused.stderr, refused.stderr
    with Ray("local") as again:
        assert sum_in(again, tmp_path) == expected
    assert not own.parents[1].exists() and not list(affinity.iterdir())
    assert before == {n: v for n, v in os.environ.items() if n.startswith("RAY_AUTH")}


@pytest.mark.parametrize("address", ["192.0.2.2:6379", "[2001:db8::1]:6379"])
def test_a_cluster_that_others_can_reach_is_refused(address: str) -> None:
    with pytest.raises(WorkerError, match=r"W010: --ray local.*this machine only"):
        _check_only_here(address)


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "[::1]:6379"])
def test_a_cluster_at_the_loopback_address_is_not(address: str) -> None:
    _check_only_here(address)
