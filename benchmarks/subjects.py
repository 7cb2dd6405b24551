"""Networks with samples to work on and others, which several benchmarks measure.

The demo network comes with the package, EfficientNet-Lite0 from ``python -m benchmarks.prepare``.
The others are read from the folder that ``LOSTBITS_ZOO`` names, where it has them:
``models/NAME.onnx``, ``data/NAME.npz`` and ``data/NAME_eval.npz``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION
from lostbits.verbs.demo import demo_files

Arrays = dict[str, NDArray[Any]]
_DEMO = demo_files()
_ZOO = Path(os.environ.get("LOSTBITS_ZOO", "zoo"))


@final
@dataclass(frozen=True)
class Subject:
    """A network and its samples.

    Attributes:
        name: In tables.
        target: That it is planned for.
        model: Its file.
        data: Files of samples that are alike; the first are to work on where there are two.
    """

    name: str
    target: str
    model: Path
    data: tuple[Path, ...]

    @property
    def here(self) -> bool:
        """Whether all files are on this machine."""
        return all(path.exists() for path in (self.model, *self.data))

    def samples(self) -> Arrays:
        """All samples, by input; that of a file without names by ``""``."""
        parts = [_arrays(path) for path in self.data]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _arrays(path: Path) -> Arrays:
    held = np.load(path, allow_pickle=False)
    return dict(held) if path.suffix == ".npz" else {"": held}


def some(arrays: Arrays, chosen: Any) -> Any:
    """Samples by number, as ``lostbits.load`` takes them."""
    parts = {name: array[chosen] for name, array in arrays.items()}
    return parts.get("", parts)


def _zoo(name: str, target: str, model: str, data: str) -> Subject:
    files = (_ZOO / "data" / f"{data}.npz", _ZOO / "data" / f"{data}_eval.npz")
    return Subject(name, target, _ZOO / "models" / f"{model}.onnx", files)


SUBJECTS = (
    Subject("digits", "snpe", _DEMO["model"], (_DEMO["calibration"], _DEMO["data"])),
    Subject("digits", "tensorrt", _DEMO["model"], (_DEMO["calibration"], _DEMO["data"])),
    Subject("EfficientNet-Lite0", "snpe", EFFICIENTNET, (CALIBRATION, EVALUATION)),
    Subject("EfficientNet-Lite0", "tensorrt", EFFICIENTNET, (CALIBRATION, EVALUATION)),
    _zoo("Silero VAD", "onnxruntime", "silero_16k", "silero"),
    _zoo("Magika", "onnxruntime", "magika", "magika"),
    _zoo("MiniLM", "openvino", "minilm", "text"),
    _zoo("PP-OCRv6 recognition", "tensorrt", "ppocrv6_rec", "lines"),
    _zoo("ViT-S", "onnxruntime", "vit_s_focus", "vit"),
)


def subjects(names: str) -> Iterator[Subject]:
    """Those whose names begin with one of these, separated by commas; all if empty."""
    wanted = tuple(name.strip().lower() for name in names.split(","))
    for subject in SUBJECTS:
        if subject.here and subject.name.lower().startswith(wanted):
            yield subject
