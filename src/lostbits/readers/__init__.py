"""The readers, and the recognition of a file by its content."""

from lostbits.errors import ReadError
from lostbits.members import Members
from lostbits.reader import Parameters, Reader, excerpt
from lostbits.readers.cambricon import Cambricon
from lostbits.readers.encodings import Encodings
from lostbits.readers.onnx_model import OnnxModel, parameters_of
from lostbits.readers.overrides import Overrides
from lostbits.readers.plan import Plan
from lostbits.readers.ranges import Ranges
from lostbits.readers.tensorrt_cache import TensorrtCache

# The overrides come late: they are recognised by what their entries look like, not by a word.
ALL: tuple[Reader, ...] = (
    OnnxModel(),
    TensorrtCache(),
    Plan(),
    Cambricon(),
    Encodings(),
    Ranges(),
    Overrides(),
)


def _unknown(name: str, advice: str) -> ReadError:
    return ReadError("I001.name", f"reader {name!r}", "no such reader", advice=advice)


MEMBERS: Members[Reader] = Members("lostbits.readers", Reader, ALL, _unknown)


def reader_of(content: bytes) -> Reader:
    """The reader of a file, recognised by its content alone.

    Raises:
        ReadError: I001.

    >>> reader_of(b"TRT-100300-EntropyCalibration2").name
    'tensorrt-cache'
    """
    for reader in MEMBERS.all():
        if reader.recognises(content):
            return reader
    raise ReadError(
        "I001.content",
        "file of parameters",
        f"{len(content)} bytes that begin with {excerpt(content[:60].decode('utf-8', 'replace'))}",
        formats=", ".join(r.title for r in MEMBERS.all()),
    )


def read(content: bytes) -> Parameters:
    """What a file of any of the formats says.

    Raises:
        ReadError: I001 to I004.
    """
    return reader_of(content).read(content)


__all__ = ["ALL", "MEMBERS", "OnnxModel", "parameters_of", "read", "reader_of"]
