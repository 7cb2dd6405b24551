"""Take the PP-OCRv4 networks out of rapidocr-onnxruntime and render text lines for them.

Inputs are drawn with Pillow's own font: ocr_rec.npy and ocr_cls.npy hold one line of text each
(in ocr_cls.npy every second one is upside down), ocr_det.npy pages of several lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.prepare.download import fetch_wheel

WHEEL = "rapidocr-onnxruntime==1.4.4"
NETWORKS = {
    "ppocr_v4_det.onnx": "ch_PP-OCRv4_det_infer.onnx",
    "ppocr_v4_rec.onnx": "ch_PP-OCRv4_rec_infer.onnx",
    "ppocr_v4_cls.onnx": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
}
HALF = np.array([0.5, 0.5, 0.5], np.float32)
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SEED = 20241
Floats = NDArray[np.float32]
TEXTS = (
    "Invoice 2024-117", "Total: 318.50 EUR", "Platform 9, 14:35", "Fresh apples",
    "Open Mon to Fri", "No parking here", "Gate B27 closed", "Serial 00A4-91F",
    "Return by 31 May", "Keep refrigerated", "Room 412", "Made in Denmark",
    "www.example.org", "Exit on the left", "Best before 2031", "Order no. 58120",
)  # fmt: skip


def draw_line(sheet: Image.Image, text: str, box: tuple[int, int, int, int]) -> None:
    """Draw a text into a box (left, top, right, bottom) in the largest size that fits."""
    pen, (left, top, right, bottom) = ImageDraw.Draw(sheet), box
    for size in range(bottom - top, 5, -1):
        font = ImageFont.load_default(size)
        if pen.textlength(text, font) <= right - left:
            break
    ink = (20, 20, 40) if np.asarray(sheet)[..., 1].mean() > 127 else (240, 240, 220)
    pen.text((left, (top + bottom) // 2), text, ink, font, anchor="lm")


def blank(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Return a sheet of a light or a dark colour with a little noise."""
    low, high = (190, 250) if rng.random() < 0.7 else (10, 70)
    pixels = rng.uniform(low, high, 3) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def normalise(sheet: Image.Image, mean: Floats, std: Floats) -> Floats:
    """Return a sheet as a normalised array, channels first."""
    pixels = np.asarray(sheet, np.float32) / np.float32(255)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))


def lines(width: int, rng: np.random.Generator, *, turned: bool, times: int = 1) -> Floats:
    """Return images of height 48, some of each text; every second one upside down if turned."""
    images = []
    for index, text in enumerate(TEXTS * times):
        sheet = blank(width, 48, rng)
        draw_line(sheet, text, (6, 6, width - 6, 42))
        angle = 180 if turned and index % 2 else 0
        images.append(normalise(sheet.rotate(angle), HALF, HALF))
    return np.stack(images)


def pages(rng: np.random.Generator, count: int) -> Floats:
    """Return pages of 320x320 with three to six lines each."""
    images = []
    for _ in range(count):
        sheet, rows = blank(320, 320, rng), int(rng.integers(3, 7))
        for row, text in enumerate(rng.permutation(TEXTS)[:rows]):
            left, top, height = int(rng.integers(8, 80)), 10 + row * 50, int(rng.integers(18, 36))
            draw_line(sheet, str(text), (left, top, 312, top + height))
        images.append(normalise(sheet, MEAN, STD))
    return np.stack(images)


def prepare_networks(out: Path) -> None:
    """Copy the three networks out of the wheel into the out folder unless they exist."""
    missing = [name for name in NETWORKS if not (out / name).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = fetch_wheel(WHEEL, Path(scratch))
        for name in missing:
            part = out / f"{name}.part"
            part.write_bytes(next(unpacked.rglob(NETWORKS[name])).read_bytes())
            part.rename(out / name)
            print(f"{name}: copied from {WHEEL}")


def prepare_texts(out: Path) -> None:
    """Render the inputs of the three networks into the out folder unless they exist."""
    arrays: dict[str, Callable[[], Floats]] = {
        # Of some tensors a sample has six values, or two, and entropy calibration wants 128.
        "ocr_det": lambda: pages(np.random.default_rng(SEED), 24),
        "ocr_rec": lambda: lines(320, np.random.default_rng(SEED + 1), turned=False),
        "ocr_cls": lambda: lines(192, np.random.default_rng(SEED + 2), turned=True, times=4),
    }
    for name, make in arrays.items():
        path = out / f"{name}.npy"
        if not path.exists():
            np.save(path, images := make())
            print(f"{path.name}: {len(images)} images")


def prepare_ocr(out: Path) -> None:
    """Make the three networks and their inputs in the out folder unless they exist."""
    prepare_networks(out)
    prepare_texts(out)
