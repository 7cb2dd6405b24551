"""The arithmetics of kernels, by the names that users type."""

from lostbits.arithmetics.arm import ARM, ARM_DOT
from lostbits.arithmetics.cnnl import CNNL
from lostbits.arithmetics.fitted import HTP, OPENVINO
from lostbits.arithmetics.tflite import TFLITE
from lostbits.arithmetics.x86 import X86_AVX2, X86_VNNI
from lostbits.errors import TargetError
from lostbits.members import Members
from lostbits.target import Arithmetic

ALL: tuple[Arithmetic, ...] = (X86_VNNI, X86_AVX2, ARM_DOT, ARM, OPENVINO, HTP, TFLITE, CNNL)


def _unknown(name: str, advice: str) -> TargetError:
    return TargetError("T050", f"arithmetic {name!r}", "no such arithmetic", advice=advice)


MEMBERS: Members[Arithmetic] = Members("lostbits.arithmetics", Arithmetic, ALL, _unknown)


def arithmetic(given: str | Arithmetic) -> Arithmetic:
    """The arithmetic of that name; one that is given itself stays as it is.

    Raises:
        TargetError: T050, if there is none of that name.
        MemberError: See ``Members``.

    >>> arithmetic("x86-avx2").pairs
    'u8s8'
    """
    return MEMBERS.find(given)


__all__ = [
    "ALL",
    "ARM",
    "ARM_DOT",
    "CNNL",
    "HTP",
    "MEMBERS",
    "OPENVINO",
    "TFLITE",
    "X86_AVX2",
    "X86_VNNI",
    "arithmetic",
]
