"""A library in its host's process: what it finds there, it leaves; and calls keep to themselves."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from threadpoolctl import threadpool_info

import lostbits
from lostbits.reporters.schema import plain
from lostbits.system.memory import bounded
from lostbits.system.memory import limited as bound
from lostbits.system.threads import limited, one_thread_each, pool_threads, session_threads
from lostbits.workers.pool import Resources
from lostbits.workers.pools import InProcess, pool
from small_nets import cnn

PATHS = os.pathsep.join(
    [*(str(Path(__file__).parents[1] / n) for n in ("nets", "shared")), *(p for p in sys.path if p)]
)
# Everything that a process has once and that a library could change, after it has imported what
# lostbits stands on: those packages are the host's own to answer for.
SEEN = """
import gc, json, locale, logging, os, random, signal, sys, threading, warnings
import jinja2, numba, numpy, onnx, onnx.reference, onnx_ir, onnxruntime, PIL.Image, PIL.ImageFile
import psutil, rich.console, scipy.linalg, scipy.optimize, scipy.sparse, scipy.special, torch
from threadpoolctl import threadpool_info

def mask():
    found = os.umask(0)
    os.umask(found)
    return found

def torch_in_a_new_thread():
    told = []
    thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
    thread.start(), thread.join()
    return told[0]

def seen():
    loggers = {n: logging.getLogger(n) for n in ("", *KNOWN)}
    return {
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": os.getcwd(),
        "umask": mask(),
        "signals": {int(s): str(signal.getsignal(s)) for s in signal.valid_signals()},
        "hooks": [str(h) for h in (sys.excepthook, sys.unraisablehook, threading.excepthook)],
        "streams": [id(s) for s in (sys.stdin, sys.stdout, sys.stderr)],
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "collector": [gc.isenabled(), gc.get_threshold()],
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": [str(f) for f in warnings.filters],
        "logging": {n: [l.level, str(l.handlers), str(l.filters), l.disabled, l.propagate]
                    for n, l in loggers.items()} | {"off": logging.root.manager.disable},
        "errors": numpy.geterr(),
        "printing": str(numpy.get_printoptions()),
        "random": [hash(random.getstate()), numpy.random.get_state()[1].tolist()[:8],
                   torch.random.get_rng_state().tolist()[:16]],
        "torch": [torch.get_num_threads(), torch_in_a_new_thread(), torch.get_num_interop_threads(),
                  torch.is_grad_enabled(), str(torch.get_default_dtype()),
                  torch.are_deterministic_algorithms_enabled(),
                  torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled,
                  torch.backends.cudnn.deterministic, torch.get_flush_denormal()
                  if hasattr(torch, "get_flush_denormal") else None],
        "blas": [[l["filepath"], l["num_threads"]] for l in threadpool_info()],
        "numba": [numba.config.CACHE_DIR, numba.config.THREADING_LAYER],
        "pictures": [PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES],
        "limits": limits(),
    }

def limits():
    import resource
    names = [n for n in dir(resource) if n.startswith("RLIMIT")]
    return {n: resource.getrlimit(getattr(resource, n)) for n in names}

KNOWN = sorted(logging.root.manager.loggerDict)
torch.set_num_threads(3)  # what a host might have chosen
"""
RUNS = """
import sys
from pathlib import Path

shots = [seen()]
import lostbits
from lostbits.verbs.demo import demo_files
shots.append(seen())
files, out = demo_files(), Path(sys.argv[1])
for threads in (0, 2, 1):
    case = lostbits.load(files["model"], files["data"], "snpe", samples=16, threads=threads)
    lostbits.diagnose(case)
    shots.append(seen())
case = lostbits.load(
    files["model"], files["data"], "snpe", samples=32, threads=1, memory=4 << 30
)
result = lostbits.recover(case, methods=["equalization", "bias_correction"], out=out)
lostbits.write(result, out, ["json", "html"])
shots.append(seen())
print(json.dumps(shots))
"""


def ran(program: str, *arguments: str, **environment: str) -> str:
    """What a process of its own prints, without the settings that this one was started with."""
    shell = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "ORT_"))}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**shell, "PYTHONPATH": PATHS, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_host_finds_everything_as_it_left_it(tmp_path: Path) -> None:
    before, *after = json.loads(ran(SEEN + RUNS, str(tmp_path)).splitlines()[-1])
    for number, shot in enumerate(after):
        changed = {key: (before[key], shot[key]) for key in before if before[key] != shot[key]}
        assert not changed, f"after step {number}"
    assert before["torch"][:2] == [3, 3]


@pytest.mark.slow
def test_the_command_line_sets_up_its_own_process() -> None:
    show = (
        "import json, os, sys; from lostbits.cli import app as cli; sys.argv[1:] = ['--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "from lostbits.system.memory import keeps_freed\n"
        "names = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')\n"
        "found = [os.environ.get(n) for n in names]\n"
        "print(json.dumps([found, keeps_freed(), 'torch' in sys.modules]))"
    )
    told = json.loads(ran(show, OMP_WAIT_POLICY="ACTIVE").splitlines()[-1])
    assert told == [["ACTIVE", "3000"], sys.platform == "linux", False]


def blas() -> list[int]:
    return [entry["num_threads"] for entry in threadpool_info() if entry["user_api"] == "blas"]


@pytest.mark.parametrize("first", [True, False])
def test_blas_is_as_before_in_whatever_order_calls_end(first: bool) -> None:
    """It has one number for all: that of the first call, while that lasts."""
    before, told = blas(), list[set[int]]()
    begun, ended = threading.Event(), threading.Event()

    def later() -> None:
        with limited(2):
            told.append(set(blas()))
            begun.set()
            if first:
                ended.wait()

    other = threading.Thread(target=later)
    with limited(1):
        other.start()
        begun.wait()
        assert set(blas()) == {1}
        if not first:
            other.join()
            assert set(blas()) == {1}
    ended.set()
    other.join()
    assert told == [{1}] and blas() == before


def test_lanes_leave_torch_and_blas_as_they_were() -> None:
    def fresh() -> int:
        told: list[int] = []
        thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return told[0]

    before = torch.get_num_threads(), fresh(), blas()
    with one_thread_each():
        assert set(blas()) == {1}
        worker = threading.Thread(target=lambda: torch.set_num_threads(1))
        worker.start()
        worker.join()
    assert (torch.get_num_threads(), fresh(), blas()) == before


def test_calls_in_two_threads_do_not_see_each_other() -> None:
    meet, told = threading.Barrier(2), dict[int, Any]()

    def call(threads: int) -> None:
        with limited(threads), bounded(threads << 30):
            meet.wait()
            told[threads] = (session_threads(), pool_threads(), torch.get_num_threads(), bound())
            meet.wait()

    both = [threading.Thread(target=call, args=(threads,)) for threads in (1, 2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert told == {n: (n, n, n, n << 30) for n in (1, 2)}
    assert (session_threads(), bound()) == (0, None)


@pytest.mark.slow
def test_calls_with_different_threads_do_not_influence_each_other(tmp_path: Path) -> None:
    """A call after one with another number of threads is the call by itself, to the last bit."""
    path = tmp_path / "net.onnx"
    onnx.save(cnn(3), path)
    data = np.random.default_rng(0).normal(size=(12, 3, 16, 16)).astype(np.float32)

    def figures(threads: int) -> str:
        found = lostbits.diagnose(lostbits.load(path, data, "snpe", threads=threads))
        return json.dumps(plain([found.baseline, found.sites, found.layers, found.network]))

    alone = {threads: figures(threads) for threads in (1, 2)}
    assert [figures(n) for n in (2, 1, 2, 1)] == [alone[n] for n in (2, 1, 2, 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_call_that_fails_leaves_no_bounds(error: type[BaseException]) -> None:
    before = torch.get_num_threads(), blas()
    with pytest.raises(error), pool(Resources(threads=2, memory=1 << 30)) as here:
        assert isinstance(here, InProcess)
        assert (session_threads(), bound()) == (2, 1 << 30)
        raise error
    assert (session_threads(), bound()) == (0, None)
    assert (torch.get_num_threads(), blas()) == before


# Systems other than Linux, as far as this one can tell

ELSEWHERE = """
import builtins, json, os, signal, sys, types
import numba, onnx, onnx_ir, onnxruntime, psutil, torch, PIL.Image, scipy.special, threadpoolctl

for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
for owner, names in (
    (os, "sched_getaffinity posix_fallocate geteuid getuid fchmod sysconf mkfifo O_NONBLOCK "
         "O_NOFOLLOW O_CLOEXEC"),
    (signal, "SIGKILL SIGHUP SIGQUIT SIGUSR1"),
    (psutil.Process, "cpu_affinity"),
):
    for name in names.split():
        if hasattr(owner, name):
            delattr(owner, name)
opened = builtins.open
def without_proc(path, *arguments, **options):
    if str(path).startswith(("/proc/self/status", "/proc/cpuinfo", "/sys/")):
        raise FileNotFoundError(path)
    return opened(path, *arguments, **options)
builtins.open = without_proc
import io, pathlib
io.open = without_proc
threadpoolctl.sys = types.SimpleNamespace(**vars(sys))  # it finds libraries by the true name
sys.platform = SYSTEM

import lostbits
from lostbits.verbs.demo import demo_files
from lostbits.graph import large
from lostbits.system.peak import resident, peak_memory
large.LARGE_MODEL, large.LARGE = 1, 256
files = demo_files()
case = lostbits.load(
    files["model"], files["data"], "snpe", samples=8, threads=1, memory=4 << 30
)
found = lostbits.diagnose(case)
lostbits.write(found, pathlib.Path(sys.argv[1]), ["json", "html"])
print(json.dumps([found.baseline.sqnr_db, found.memory.peak_bytes, resident(),
                  peak_memory()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_nothing_that_only_linux_has_is_needed(tmp_path: Path, system: str) -> None:
    """With the modules, functions and files hidden that macOS or Windows lack."""
    program = ELSEWHERE.replace("SYSTEM", repr(system))
    sqnr, *sizes = json.loads(ran(program, str(tmp_path)).splitlines()[-1])
    assert 0 < sqnr < 60
    assert all(size > 100 << 20 for size in sizes)
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "report.html"}
