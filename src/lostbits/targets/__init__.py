"""The targets, by the names that users type, and those that users bring."""

from dataclasses import replace
from pathlib import Path

from lostbits.arithmetics import MEMBERS as ARITHMETICS
from lostbits.errors import TargetError
from lostbits.members import Members
from lostbits.target import Arithmetic, Target
from lostbits.targets.cnrt import CNRT
from lostbits.targets.onnxruntime import ONNXRUNTIME
from lostbits.targets.openvino import OPENVINO
from lostbits.targets.qnn_htp import QNN_HTP
from lostbits.targets.snpe import SNPE
from lostbits.targets.tensorrt import TENSORRT
from lostbits.targets.toml_file import read_arithmetic, read_target

ALL: tuple[Target, ...] = (TENSORRT, SNPE, QNN_HTP, CNRT, ONNXRUNTIME, OPENVINO)


def _unknown(name: str, advice: str) -> TargetError:
    return TargetError("T001", f"target {name!r}", "no such target", advice=advice)


MEMBERS: Members[Target] = Members("lostbits.targets", Target, ALL, _unknown)


def target(given: str | Target) -> Target:
    """The target of that name, or the one in a file whose name ends in ``.toml``.

    One that is given itself stays as it is.

    Raises:
        TargetError: T001, if there is none of that name; T003, if the file is wrong.
        MemberError: See ``Members``.

    >>> target("snpe").activations.grid.name
    'uint8'
    """
    if isinstance(given, str) and given.endswith(".toml"):
        return read_target(Path(given), MEMBERS.all())
    return MEMBERS.find(given)


def with_arithmetic(chosen: Target, given: str | Path | Arithmetic | None) -> Target:
    """A target whose kernels compute in another way.

    Args:
        chosen: The target.
        given: A name, a file whose name ends in ``.toml``, or an arithmetic; None changes nothing.

    Raises:
        TargetError: T050, if there is none of that name; T003, if the file is wrong.
        MemberError: See ``Members``.

    >>> with_arithmetic(target("onnxruntime"), "x86-avx2").arithmetic.pairs
    'u8s8'
    """
    return chosen if given is None else replace(chosen, arithmetic=arithmetic_of(given))


def arithmetic_of(given: str | Path | Arithmetic) -> Arithmetic:
    """The arithmetic of that name, the one in a file, or the one that is given.

    Raises:
        TargetError: T050, T003; see ``with_arithmetic``.
        MemberError: See ``Members``.
    """
    if not isinstance(given, Arithmetic) and str(given).endswith(".toml"):
        return read_arithmetic(Path(given))
    return ARITHMETICS.find(str(given) if isinstance(given, Path) else given)


__all__ = [
    "ALL",
    "CNRT",
    "MEMBERS",
    "ONNXRUNTIME",
    "OPENVINO",
    "QNN_HTP",
    "SNPE",
    "TENSORRT",
    "arithmetic_of",
    "target",
    "with_arithmetic",
]
