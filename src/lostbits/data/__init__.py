"""Where samples come from: files, folders, lists of raw files, and Python objects.

`open_source` turns any of them into a `Source`, which can be read again and again in batches of
any size and whose memory does not grow with the number of samples.

**How samples lie in arrays.** Axis 0 of every array counts samples. For a model whose inputs all
have a batch axis (rank 1 or more, and no two different fixed sizes of axis 0), an array for an
input of shape ``(batch, 3, 224, 224)`` has shape ``(samples, 3, 224, 224)``. A fixed batch axis
is filled up by repeating the last sample. Any other model takes one whole sample a run: an
array has shape ``(samples, *shape of the input)``, where an axis 0 of 1 or of no fixed size may
be left out. In a folder, a file whose array lacks the axis of samples is one sample.

**Which types are converted.** Floats to any float; integers and booleans to any number type that
holds each of the values exactly. All else is refused.

**When data are checked.** Names, shapes and counts of all files, and everything about the first
samples, when the source is opened; values as they are read. An iterable is read through once
when it is opened, to count the samples and to see them all; each later pass must yield the same.

Codes, all of them `lostbits.errors.DataError`:

===== ==================================================================================
D001  a file or folder does not exist
D002  a file cannot be looked at or read, or is damaged, or holds pickled objects
D003  data of a kind that nobody here reads
D004  there are no samples
D005  an input of the model has no array
D006  an array belongs to no input of the model
D007  the shape of an array does not fit the input
D008  the type of an array would lose more than float precision
D009  inputs have different numbers of samples
D010  a sample has values that are NaN or infinite
D011  an iterator that can be read once only
D012  a preprocess setting is missing, unknown, misplaced or wrong
D013  an image or the colour setting gives other channels than the model takes
D014  a raw file does not have the bytes of one sample
D015  a line of an input list does not name one file for every input
D016  the callable that supplies samples cannot be imported, fails, or never ends
D017  an item of an iterable is no dict, array or tuple with one array for every input
D018  a later pass does not yield the samples of the first
D019  there are not as many labels as samples
D020  labels are not class numbers
D021  a sample, an image, a run or a table does not fit into memory
D022  labels are no class of the network's output
===== ==================================================================================
"""

from lostbits.data.labels import check_classes, read_labels
from lostbits.data.opening import open_source
from lostbits.data.preprocess import Preprocess
from lostbits.data.source import Batch, InputSpec, Source

__all__ = [
    "Batch",
    "InputSpec",
    "Preprocess",
    "Source",
    "check_classes",
    "open_source",
    "read_labels",
]
