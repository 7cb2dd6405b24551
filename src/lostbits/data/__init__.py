"""Where samples come from: files, folders, lists of raw files, and Python objects.

`open_source` turns any of them into a `Source`, which can be read again and again in batches of
any size and whose memory does not grow with the number of samples.

**How samples lie in arrays.** Axis 0 of every array counts samples. For a model whose inputs all
have a batch axis (the first, of no different fixed sizes; see ``Interface.whole``), an array for
an input of shape ``(batch, 3, 224, 224)`` has shape ``(samples, 3, 224, 224)``. A fixed batch
axis is filled up by repeating the last sample. Any other model takes one whole sample a run: an
array has shape ``(samples, *shape of the input)``, where a batch axis of 1 or of no fixed size
may be left out, or count the samples. There, an array of just the fixed shape of an input is the
same for all samples. In a folder, a file whose array lacks the axis of samples is one sample.

**Which types are converted.** Floats to any float; integers and booleans to any number type that
holds each of the values exactly, 0 and 1 to booleans. All else is refused.

**When data are checked.** Names, shapes and counts of all files, and everything about the first
samples, when the source is opened; values as they are read. An iterable is read through once
when it is opened, to count the samples and to see them all; each later pass must yield the same.

All errors are `lostbits.errors.DataError`, the codes D001 to D022.
"""

from lostbits.data.labels import check_classes, read_labels, read_truth
from lostbits.data.near_duplicates import near_duplicates
from lostbits.data.open import open_source
from lostbits.data.preprocess import Preprocess
from lostbits.data.source import Batch, InputSpec, Source

__all__ = [
    "Batch",
    "InputSpec",
    "Preprocess",
    "Source",
    "check_classes",
    "near_duplicates",
    "open_source",
    "read_labels",
    "read_truth",
]
