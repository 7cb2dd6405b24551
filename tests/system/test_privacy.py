"""What a run opens, writes and asks for, seen by Python itself and by the system."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import lostbits
from lostbits.backends import openvino
from lostbits.verbs.demo import demo_files

pytestmark = pytest.mark.slow

FILES = demo_files()
# What Python tells a hook of: Python's own files and sockets, also in the workers of a run.
HOOK = """
import json, os, sys

log = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
wanted = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        if not os.path.isabs(arguments[0]) and arguments[1] is None:
            return  # os.open, which may mean another folder; the system's trace tells which
        path = os.path.join(os.getcwd(), arguments[0])
        os.write(log, (json.dumps(["open", path]) + "\\n").encode())
    elif event in wanted:
        os.write(log, (json.dumps([event, repr(arguments)]) + "\\n").encode())

sys.addaudithook(hook)
"""
CALLS = "openat,open,creat,mkdir,mkdirat,connect,sendto,sendmsg"
COMMANDS = {
    "diagnose": ("diagnose", "--workers", "2", "--samples", "64", "--out", "out"),
    "verify": ("verify", "--backend", "onnxruntime-plain", "--samples", "8"),
}


class Seen(NamedTuple):
    """A run, and the folders that were its own.

    Attributes:
        hook: Kind and object of each event that Python told of.
        calls: Lines of the system's trace, or None where it cannot be traced.
    """

    folder: Path
    hook: list[tuple[str, str]]
    calls: list[str] | None


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A run with an empty home folder, in a working folder that holds nothing."""
    folder = tmp_path_factory.mktemp(str(request.param))
    for name in ("home", "temporary", "working", "hook"):
        (folder / name).mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    verb, *options = COMMANDS[request.param]
    files = (str(FILES["model"]), "--data", str(FILES["data"]))
    main = "from lostbits.cli.app import main; main()"
    command = [sys.executable, "-P", "-c", main, verb, *files, *options]
    run = subprocess.run(
        [*_tracer(folder / "trace"), *command],
        cwd=folder / "working",
        env=_environment(folder),
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    events = [tuple(json.loads(line)) for line in (folder / "events").read_text().splitlines()]
    trace = folder / "trace"
    return Seen(folder, events, trace.read_text().splitlines() if trace.exists() else None)


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of this process's but where programs and modules are."""
    paths = [str(folder / "hook"), *(p for p in sys.path if p)]
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "SEEN": str(folder / "events"),
    }


def _tracer(trace: Path) -> list[str]:
    """strace, where it is installed and allowed."""
    program = shutil.which("strace")
    if program is None or subprocess.run([program, "-qq", "true"], check=False).returncode:
        return []
    return [
        program,
        "-f",
        "-y",
        "-qq",
        "--seccomp-bpf",
        "-s",
        "4096",
        "-e",
        CALLS,
        "-o",
        str(trace),
    ]


def allowed(path: str, folder: Path) -> bool:
    """Whether a run may open it: what it was given, its own folders, Python, and the system."""
    given = {str(FILES["model"]), str(FILES["data"])}
    own = (folder / "working" / "out", folder / "temporary", folder / "hook", folder / "events")
    code = (
        sys.prefix,
        sys.base_prefix,
        str(Path(lostbits.__file__).parent),
        *filter(None, sys.path),
    )
    system = ("/proc", "/sys", "/dev", "/usr", "/lib", "/lib64")
    facts = ("/etc/ld.so.cache", "/etc/localtime", "/etc/os-release")
    places = [os.path.realpath(place) for place in (*map(str, own), *code, *system, *facts)]
    places += [*system, *facts]
    whole = os.path.normpath(path)
    return whole in given or any(whole == p or whole.startswith(f"{p}/") for p in places)


def opened(calls: list[str], folder: Path) -> Iterator[str]:
    """Paths that the system was asked for, also in vain."""
    base = r"(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, "
    call = re.compile(rf'(?:openat|open|creat|mkdir|mkdirat)\((?:{base})?"((?:[^"\\]|\\.)*)"')
    for line in calls:
        if found := call.search(line):
            yield os.path.join(found[1] or str(folder / "working"), found[2])


def test_nothing_is_left_in_the_home_folder_nor_among_temporary_files(seen: Seen) -> None:
    assert not [*(seen.folder / "home").iterdir(), *(seen.folder / "temporary").iterdir()]
    assert {p.name for p in (seen.folder / "working").iterdir()} <= {"out"}


def test_python_opens_nothing_else_and_asks_for_no_address(seen: Seen) -> None:
    assert len(seen.hook) > 100
    assert not {event for event in seen.hook if event[0] != "open"}
    assert not {path for kind, path in seen.hook if not allowed(path, seen.folder)}


def test_libraries_open_nothing_else_and_ask_for_no_address(seen: Seen) -> None:
    if seen.calls is None:
        pytest.skip("strace is not installed, or not allowed to trace")
    paths = set(opened(seen.calls, seen.folder))
    assert len(paths) > 100
    assert not {path for path in paths if not allowed(path, seen.folder)}
    assert not [line for line in seen.calls if "sa_family=" in line]


def test_openvino_is_imported_without_its_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenVINO does it: by a package beside it, or by a stub where that cannot be imported."""
    (tmp_path / "openvino_telemetry.py").write_text("")
    (tmp_path / "openvino.py").write_text(
        "try:\n    import openvino_telemetry as theirs\nexcept ImportError:\n    theirs = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("openvino", "openvino_telemetry"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    openvino._openvino.cache_clear()
    try:
        assert openvino._openvino().theirs is None
        assert importlib.import_module("openvino_telemetry"), "others may have it"
    finally:
        openvino._openvino.cache_clear()
        for name in ("openvino", "openvino_telemetry"):
            sys.modules.pop(name, None)


def test_a_setting_of_the_user_is_left_alone() -> None:
    """It is off while the package is imported, if the user says nothing; the host's stays as is."""
    show = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime':\n"
        "            print(os.environ['ORT_DISABLE_TELEMETRY'])\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import lostbits.runtime.ort\n"
        "print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
    )
    for given, expected in (({}, "1\nNone"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0\n0")):
        shell = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **given}
        command = [sys.executable, "-c", show]
        assert subprocess.check_output(command, env=shell, text=True).strip() == expected


def test_a_host_that_has_imported_onnxruntime_reports_no_error_messages() -> None:
    """Its telemetry runs by then; what it would say of the model is left out."""
    watch = (
        "import onnxruntime, lostbits; called = []; "
        "onnxruntime.disable_telemetry_events = lambda: called.append(True); "
        "import lostbits.runtime.ort; assert called"
    )
    subprocess.run([sys.executable, "-c", watch], check=True)
