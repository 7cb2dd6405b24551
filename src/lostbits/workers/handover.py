"""Handing a job to others: to a process once, and without copying what both can read.

Pickle's protocol 5 keeps large arrays out of its stream (PEP 574). What holds them is up to the
pool: files that all workers map into memory, or the object store of a Ray node.
"""

import io
import pickle
from typing import Any, final

import numpy as np
import onnx_ir as ir

from lostbits.data import Source
from lostbits.errors import DataError, first_line
from lostbits.graph.large import large_constants
from lostbits.graph.split_weights import put_together, taken_apart
from lostbits.workers.pool import Job
from lostbits.workers.serialize import Serialized, versions


def by_threads(source: Source, model: ir.Model) -> bool:
    """Whether several threads may each open a job on these.

    Each of them would write the large constants of a large model into files of its own.
    """
    return source.several and not large_constants(model.graph)


@final
class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return (put_together, taken_apart(obj)) if isinstance(obj, ir.Model) else NotImplemented


def packed(job: Job[Any, Any]) -> Serialized:
    """The job, ready to be sent.

    Raises:
        DataError: D034 when its samples come from an object that no other process can have.
    """
    arrays: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    try:
        _Pickler(stream, 5, buffer_callback=arrays.append).dump(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise DataError("D034", job.source.description, first_line(error)) from error
    return Serialized(
        versions(), stream.getvalue(), [np.asarray(buffer.raw()) for buffer in arrays]
    )
