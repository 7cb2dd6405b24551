"""A warm process that forks a child for every try.

To import everything takes seconds, a try takes a tenth of one. The server has run each verb once,
so that compiled loops are loaded, and has no thread but its own when it forks: that is checked.
"""

import atexit
import faulthandler
import importlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lostbits
from benchmarks.fuzzing.bounds import Bounds, Usage, ended, left_behind

CLI = "lostbits.cli.app:main"
_MODULES = ("lostbits.verbs.verify", "lostbits.reporters.page", "onnxruntime", "torch", "onnx")

# What Python reports of itself: something was started, looked up or called, or unpickled.
_STARTED = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_SPOKEN = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")
UNPICKLED = "unpickled"
_COMPILED = (".nbi", ".nbc")  # numba's, which it unpickles
_OURS = Path(lostbits.__file__).parent
_OUTSIDE = ("/secret/", "/etc/passwd", "/proc/self/environ")


@dataclass(frozen=True)
class Run:
    """What became of one command.

    Attributes:
        status: Exit status; minus the signal that ended it.
        stopped: Why it was stopped, or None: ``hang`` or ``memory``.
        output: Standard output.
        errors: Standard error.
        usage: Time and memory.
        events: What Python said of itself: the kind of thing, and which.
        left: Command lines of processes that outlived it.
        stack: Of all threads, where it was stopped.
    """

    status: int
    stopped: str | None
    output: bytes
    errors: bytes
    usage: Usage
    events: list[tuple[str, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    stack: str = ""


def warm(commands: Sequence[Sequence[str]]) -> None:
    """Import what the commands import, run some, and let this process stay one thread."""
    for verb in importlib.import_module("lostbits.cli.commands").ALL:
        verb.function()
    for name in _MODULES:
        importlib.import_module(name)
    for words in commands:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            status = _status_of(CLI, ["lostbits", *words])
        if status != 0:
            raise RuntimeError(f"{' '.join(words)}: status {status}: {said.getvalue()}")
    check_alone()


def check_alone() -> None:
    """A child of a process with threads may wait forever for a lock that one of them has."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"{threads} threads: the server must have one when it forks")


def run(
    argv: Sequence[str],
    root: Path,
    bounds: Bounds,
    program: str = CLI,
    before: Callable[[], None] | None = None,
) -> Run:
    """Run a command in the playground at ``root``, and wait for its end or put an end to it.

    Args:
        argv: The words after the name of the program.
        root: A playground; relative paths start in its ``work``.
        bounds: Of time and memory.
        program: ``module:function``, which takes its words from ``sys.argv``.
        before: Called in the child before the program.
    """
    # No TemporaryDirectory: a child would remove it too, when it ends.
    streams = root.with_name(f"{root.name}-streams")
    shutil.rmtree(streams, ignore_errors=True)
    streams.mkdir(parents=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if (child := os.fork()) == 0:
        _live(argv, root, streams, program, before)
    stopped, status, usage = ended(child, bounds)
    return _told(status, stopped, usage, streams, left_behind(child))


def _told(status: int, stopped: str | None, usage: Usage, streams: Path, left: list[str]) -> Run:
    events = streams / "events"
    return Run(
        os.waitstatus_to_exitcode(status),
        stopped,
        (streams / "1").read_bytes(),
        (streams / "2").read_bytes(),
        usage,
        [tuple(e) for e in json.loads(events.read_text())] if events.exists() else [],
        left,
        (streams / "stack").read_text() if (streams / "stack").exists() else "",
    )


def _live(
    argv: Sequence[str],
    root: Path,
    streams: Path,
    program: str,
    before: Callable[[], None] | None,
) -> None:
    """The child: it never returns."""
    status = 1
    try:
        os.setsid()
        _settled(root, streams)
        events = _listened()
        if before is not None:
            before()
        status = _status(program, ["lostbits", *argv])
        (streams / "events").write_text(json.dumps(events))
    except BaseException:  # of the server itself: nothing that was tried comes this far
        traceback.print_exc()
    finally:
        os._exit(status & 255)


def _settled(root: Path, streams: Path) -> None:
    """Give the process the surroundings of a command, and streams of files."""
    os.chdir(root / "work")
    os.environ |= {"TMPDIR": str(root / "tmp"), "HOME": str(root / "home"), "PWD": os.getcwd()}
    os.environ["PATH"] = f"{root / 'bin'}:{os.environ['PATH']}"
    tempfile.tempdir = None
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(streams / str(number), os.O_WRONLY | os.O_CREAT), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - they live as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    stack = open(streams / "stack", "w", encoding="utf-8")  # noqa: SIM115
    faulthandler.register(signal.SIGUSR1, stack)


def _listened() -> list[tuple[str, str]]:
    """What happens from now on of what must not happen."""
    received: list[tuple[str, str]] = []

    def hook(event: str, arguments: Any) -> None:
        if event == "open":
            path = str(arguments[0])
            if any(part in path for part in _OUTSIDE):
                received.append(("read outside", path))
            elif path.endswith(_COMPILED) and not Path(path).is_relative_to(_OURS):
                received.append((UNPICKLED, path))
        elif event in _STARTED and "'uname'" not in str(arguments):  # of Python's own platform
            received.append(("started", f"{event} {arguments[:2]!r}"[:300]))
        elif event in _SPOKEN:
            received.append(("network", f"{event} {arguments!r}"[:300]))
        elif event == "pickle.find_class" and not _of_compiled_loops():
            received.append((UNPICKLED, f"{arguments[0]}.{arguments[1]}"))

    sys.addaudithook(hook)
    return received


def _of_compiled_loops() -> bool:
    """Whether numba reads the loops that it has compiled; that they are ours is seen apart."""
    read = (frame.f_code.co_filename for frame, _ in traceback.walk_stack(None))
    return any(path.endswith("numba/core/caching.py") for path in read)


def _status(program: str, words: list[str]) -> int:
    """What the interpreter would end with, had it been started with this command."""
    status = _status_of(program, words)
    for close in (threading._shutdown, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):  # type: ignore[attr-defined]
        try:
            close()
        except OSError:
            traceback.print_exc()
            status = 120  # as the interpreter, where a stream cannot be written to
    return status


def _status_of(program: str, words: list[str]) -> int:
    module, _, function = program.partition(":")
    sys.argv = words
    return _called(getattr(importlib.import_module(module), function))


def _called(main: Callable[[], object]) -> int:
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:  # whatever else it is, a user would see its traceback
        traceback.print_exc()
        return 1
    return 0
