"""Run the prepared networks on the prepared data and print figures that show broken inputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.prepare.ocr import TEXTS

Floats = NDArray[np.float32]


def open_network(path: Path, threads: int = 2) -> Any:
    """Return an ONNX Runtime session for a network on a few CPU threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def infer(session: Any, images: Floats, batch: int = 8) -> Floats:
    """Return the network's first output for images, computed in batches."""
    name = session.get_inputs()[0].name
    parts = range(0, len(images), batch)
    outputs = [session.run(None, {name: images[at : at + batch]})[0] for at in parts]
    return np.concatenate(outputs)


def confidence(logits: Floats) -> Floats:
    """Return the top-1 softmax probability of each row of logits."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    top: Floats = powers.max(1) / powers.sum(1)
    return top


def check_photographs(out: Path) -> None:
    """Print how sure the float network is of the photographs and how long an image takes."""
    session = open_network(out / "efficientnet_lite0.onnx")
    for name in ("calibration", "evaluation", "many"):
        images = np.load(out / f"{name}.npy", mmap_mode="r")
        logits = infer(session, images)
        mean, classes = confidence(logits).mean(), len(set(logits.argmax(1).tolist()))
        print(f"{name}.npy {images.shape}: mean top-1 probability {mean:.3f}, {classes} classes")
        if mean < 0.3:
            raise SystemExit(f"{name}.npy is hardly recognised: its preprocessing is broken")


def time_photographs(out: Path) -> None:
    """Print the time of an image: batch 8, two threads, the fastest of twelve batches."""
    session, seconds = open_network(out / "efficientnet_lite0.onnx"), []
    images = np.load(out / "calibration.npy", mmap_mode="r")[:8]
    for _ in range(12):
        start = time.perf_counter()
        infer(session, images)
        seconds.append(time.perf_counter() - start)
    print(f"efficientnet_lite0.onnx: {min(seconds) / 8 * 1000:.1f} ms/image (batch 8, 2 threads)")


def read_texts(session: Any, images: Floats) -> list[str]:
    """Return the lines that the recognition network reads: best path, repeats and blanks out."""
    names = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    alphabet = ["", *names, " "]
    found = []
    for path in infer(session, images).argmax(2):
        fresh = path[np.insert(path[1:] != path[:-1], 0, True)]
        found.append("".join(alphabet[index] for index in fresh))
    return found


def check_ocr(out: Path) -> None:
    """Print how well the three OCR networks read the rendered texts."""
    det, rec, cls = (np.load(out / f"ocr_{name}.npy") for name in ("det", "rec", "cls"))
    ink = infer(open_network(out / "ppocr_v4_det.onnx"), det) > 0.3
    print(f"ocr_det.npy {det.shape}: text on {ink.mean():.1%} of the pixels")
    read = read_texts(open_network(out / "ppocr_v4_rec.onnx"), rec)
    right = sum(found.strip() == text for found, text in zip(read, TEXTS, strict=True))
    print(f"ocr_rec.npy {rec.shape}: {right} of {len(TEXTS)} lines read (end spaces aside)")
    turned = infer(open_network(out / "ppocr_v4_cls.onnx"), cls).argmax(1)
    right = int((turned == np.arange(len(cls)) % 2).sum())
    print(f"ocr_cls.npy {cls.shape}: {right} of {len(cls)} directions right")


def check(out: Path) -> None:
    """Print the figures of all networks and data in the out folder."""
    check_photographs(out)
    time_photographs(out)
    check_ocr(out)
