"""What users import: the names, their documentation, and a silent import."""

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import lostbits


def test_all_is_the_public_namespace_sorted() -> None:
    public = {
        name
        for name in dir(lostbits)
        if not name.startswith("_") and not isinstance(getattr(lostbits, name), ModuleType)
    }
    assert public == set(lostbits._HOMES)
    assert set(lostbits.__all__) == {*public, "__version__"}
    assert lostbits.__all__ == sorted(lostbits.__all__)


@pytest.mark.parametrize("name", lostbits._HOMES)
def test_every_public_name_is_documented(name: str) -> None:
    member = getattr(lostbits, name)
    assert inspect.getdoc(member)
    assert member.__doc__, "its own text, not one that it inherits"
    assert not member.__doc__.startswith(f"{member.__name__}("), "a dataclass's generated signature"


@pytest.mark.parametrize("name", lostbits._HOMES)
def test_every_public_method_is_documented(name: str) -> None:
    member = getattr(lostbits, name)
    if not inspect.isclass(member):
        return
    methods = {n: m for n, m in vars(member).items() if not n.startswith("_")}
    bare = [n for n, m in methods.items() if callable(m) and not inspect.getdoc(m)]
    assert not bare, bare


def test_other_names_are_refused_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'diagnoze'"):
        _ = lostbits.diagnoze


def test_catching_our_errors_imports_no_runtime() -> None:
    program = "import sys, lostbits; lostbits.LostbitsError; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert run.stdout == "False\n"


def test_the_package_itself_is_documented() -> None:
    assert lostbits.__doc__


def test_importing_says_nothing_and_warns_of_nothing() -> None:
    command = [sys.executable, "-W", "error", "-c", "import lostbits"]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
