"""From whatever was named or given to a source of samples."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lostbits.data.access import existing
from lostbits.data.arrays import arrays_in_file, arrays_in_files
from lostbits.data.images import SUFFIXES, ImageReader, images_in_files
from lostbits.data.importing import imported, is_target
from lostbits.data.input_list import files_in_list
from lostbits.data.interface import Interface
from lostbits.data.objects import samples_of, samples_of_callable
from lostbits.data.preprocess import Preprocess
from lostbits.data.samples import Samples
from lostbits.data.source import InputSpec, Source
from lostbits.errors import DataError, close_match

_FILES: dict[str, Callable[[Path, Interface], Samples]] = {
    ".npy": arrays_in_file,
    ".npz": arrays_in_file,
    ".txt": files_in_list,
}


def open_source(
    data: object, inputs: Sequence[InputSpec], *, preprocess: Preprocess | None = None
) -> Source:
    """The samples of ``data`` for a model with these inputs.

    Args:
        data: A path to an .npz file with an array for every input, a .npy file, a folder of
            those or of images, or an ``input_list.txt`` of raw float32 files;
            ``package.module:callable``; a dict of arrays or an array; an iterable or a callable
            that gives dicts, arrays or tuples, each a batch (a torch DataLoader, whose labels
            are left out); or ONNX Runtime's CalibrationDataReader with a method ``rewind``.
        inputs: The model's inputs, in its order.
        preprocess: How images become values; needed for a folder of images, and for it alone.

    Raises:
        DataError: Any of the codes that `lostbits.data` lists.
    """
    if not inputs:
        raise ValueError("open_source(inputs=...) must name at least one input")
    interface = Interface(tuple(inputs))
    if isinstance(data, str) and is_target(data) and not Path(data).exists():
        samples = samples_of_callable(data, imported(data), interface)
    elif isinstance(data, str | Path):
        samples, preprocess = _in_path(existing(Path(data)), interface, preprocess), None
    else:
        samples = samples_of(data, interface)
    _refuse(preprocess)
    next(samples.batches(1))
    return samples
