"""A Ray cluster: one that runs at an address, or one of this process alone.

Who reaches a cluster can run code in it and read what it is given. So one that is started here
listens on this machine only, asks for a secret, and keeps its files in a folder of its own. Where
Ray would look for a running one, in RAY_ADDRESS and in a folder that all users of a machine share,
is left to the address ``auto``.
"""

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address
from tempfile import TemporaryDirectory
from typing import Any

from lostbits.errors import LostbitsError, WorkerError, first_line
from lostbits.system.process import restored

LOCAL, RUNNING = "local", "auto"
_PATIENCE = 5  # seconds that the address of a cluster has to answer
_LOOPBACK = "127.0.0.1"
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_SETTINGS = ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED")


def installed(module: str = "ray") -> Any:
    """A module of Ray.

    Raises:
        WorkerError: W004 without the package.
    """
    if find_spec("ray") is None:
        raise WorkerError("W004", "--ray", "not installed")
    return import_module(module)


@contextmanager
def connected(ray: Any, address: str) -> Iterator[None]:
    """The cluster at an address, or a new one for ``local``, until it is left.

    Raises:
        WorkerError: W005 when there is no such cluster, W006 when it is of another version, W010
            when a new one can be reached from other machines.
    """
    _check_answers(address)
    with _own() if address == LOCAL else nullcontext({"address": address}) as options:
        try:
            _join(ray, address, options)
            yield
        finally:
            ray.shutdown()


def _join(ray: Any, address: str, options: dict[str, str]) -> None:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _only_here() if address == LOCAL else nullcontext():
            ray.init(**options, **quiet)
    except RuntimeError as error:
        raise _unlike(error) if "ersion" in str(error) else _unreachable(address, error) from error
    except (ConnectionError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _unreachable(address, error) from error
    if address == LOCAL:
        _check_only_here(ray.get_runtime_context().gcs_address)


@contextmanager
def _own() -> Iterator[dict[str, str]]:
    """What a cluster is started with that other users of this machine cannot use."""
    folder = TemporaryDirectory(prefix="lostbits-", ignore_cleanup_errors=True)
    with folder as name, restored(os.environ, *_SETTINGS):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not os.environ.keys() & set(_TOKENS):  # else Ray keeps one in the affinity folder
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _forget_token()
        inside = os.path.join(name, "ray")  # whose mode Ray changes, for all users of the machine
        yield {"address": LOCAL, "_node_ip_address": _LOOPBACK, "_temp_dir": inside}
    _forget_token()


@contextmanager
def _only_here() -> Iterator[None]:
    """Let the cluster listen on this machine only.

    Asked for 127.0.0.1, Ray takes the address that other machines know, and then listens on all.
    This is its own switch, on where it cannot work with other machines, as on macOS.
    """
    constants = vars(installed("ray._private.ray_constants"))
    with restored(constants, "ENABLE_RAY_CLUSTER"):
        constants["ENABLE_RAY_CLUSTER"] = False
        yield


def _forget_token() -> None:
    """Ray reads the mode and the token once a process; its own tests make it read them anew."""
    internals = installed("ray._raylet")
    with suppress(AttributeError):  # a version that does not remember them
        internals.Config.initialize("")
        internals.AuthenticationTokenLoader.instance().reset_cache()


def _check_only_here(address: str) -> None:
    if not ip_address(address.rpartition(":")[0].strip("[]")).is_loopback:
        raise WorkerError("W010", f"--ray {LOCAL}", f"it listens at {address}")


def _check_answers(address: str) -> None:
    """Ray itself asks an address where nobody listens for minutes, and ends some processes."""
    if address in (LOCAL, RUNNING):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> LostbitsError:
    return WorkerError("W005", f"--ray {address}", first_line(error))


def _unlike(error: Exception) -> LostbitsError:
    return WorkerError("W006", "--ray", " ".join(str(error).split()))
