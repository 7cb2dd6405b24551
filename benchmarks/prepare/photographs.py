"""Make photograph-like inputs from the stamps of Debian's tuxpaint-stamps-default.

Each image is one stamp (a cut-out photograph with a transparent background) at a random scale
and place on a random background, 3x224x224 float32, normalised as for ImageNet. Stamps come in
families (`grave-a`, `grave-b`); a family never stands on both sides of the split:

ImageNet's mean and standard deviation are used; with (x - 127) / 128 the same weights recognise
somewhat more. The arrays:

- evaluation.npy: 328 images, each of another stamp;
- shifted.npy: 160 of the same stamps as large as they fit, centred on white: data of another kind,
  as no image of calibration.npy has a white background;
- calibration.npy: 128 images of the remaining stamps (about a hundred), each once, then again;
- many.npy: 512 images of all stamps, each once, then again, on backgrounds of their own. It
  shares stamps with evaluation.npy, so do not calibrate with it what evaluation.npy judges.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.prepare.download import fetch_debian

PACKAGE = "tuxpaint-stamps-default"
SKIPPED = ("cartoon", "symbols", "_mirror.png")
SIDE = 224
SEED = 20240
COUNTS = {"calibration": 128, "evaluation": 328, "many": 512, "shifted": 160}
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
Floats = NDArray[np.float32]


def family(stamp: Path) -> str:
    """Return the first word of a stamp's name, shared by pictures of one thing."""
    return re.sub(r"^[\d_]+|[\d_-].*", "", stamp.stem.lower()) or stamp.stem


def find_stamps(root: Path) -> list[Path]:
    """Return the photographic stamps below a folder in a fixed order."""
    paths = sorted(root.rglob("*.png"), key=lambda path: path.relative_to(root).as_posix())
    return [path for path in paths if not any(word in path.as_posix() for word in SKIPPED)]


def split(stamps: list[Path], rng: np.random.Generator) -> dict[str, list[Path]]:
    """Deal whole families to evaluation while they fit in its count, the others to calibration."""
    names = sorted({family(stamp) for stamp in stamps})
    dealt: dict[str, list[Path]] = {"calibration": [], "evaluation": []}
    for name in rng.permutation(names):
        members = [stamp for stamp in stamps if family(stamp) == name]
        fits = len(dealt["evaluation"]) + len(members) <= COUNTS["evaluation"]
        dealt["evaluation" if fits else "calibration"] += members
    dealt["many"] = [stamps[index] for index in rng.permutation(len(stamps))]
    return dealt | {"shifted": dealt["evaluation"]}


def background(rng: np.random.Generator) -> Image.Image:
    """Return a muted uniform colour or smooth gradient, with or without noise, at random."""
    cells = int(rng.choice([1, 2, 3, 5]))
    light, tint = rng.uniform(30, 225) + rng.normal(0, 30, (cells, cells, 1)), rng.normal(0, 12, 3)
    colours = light + tint + rng.normal(0, 10, (cells, cells, 3))
    small = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    smooth = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, rng.choice([0.0, 3.0, 10.0]), (SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def load_stamp(path: Path) -> Image.Image:
    """Return a stamp with its alpha, cut to what is visible."""
    stamp = Image.open(path).convert("RGBA")
    return stamp.crop(stamp.getchannel("A").getbbox())


def resized(stamp: Image.Image, part: float) -> Image.Image:
    """Return a stamp whose longer side is a part of that of an image."""
    scale = part * SIDE / max(stamp.size)
    width, height = (max(1, round(scale * length)) for length in stamp.size)
    return stamp.resize((width, height), Image.Resampling.LANCZOS)


def compose(path: Path, rng: np.random.Generator) -> Floats:
    """Return one normalised image, channels first: a stamp on a random background."""
    canvas, stamp = background(rng), load_stamp(path)
    stamp = resized(stamp, rng.uniform(0.6, 0.98))
    corner = int(rng.integers(SIDE - stamp.width + 1)), int(rng.integers(SIDE - stamp.height + 1))
    canvas.paste(stamp, corner, stamp)
    return normalised(canvas)


def on_white(path: Path) -> Floats:
    """Return one normalised image, channels first: a stamp centred on white."""
    canvas, stamp = Image.new("RGB", (SIDE, SIDE), "white"), resized(load_stamp(path), 0.95)
    canvas.paste(stamp, ((SIDE - stamp.width) // 2, (SIDE - stamp.height) // 2), stamp)
    return normalised(canvas)


def normalised(canvas: Image.Image) -> Floats:
    """Return the pixels as ImageNet's networks take them, channels first."""
    pixels = np.asarray(canvas, np.float32) / np.float32(255)
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


def write(path: Path, stamps: list[Path], count: int, rng: np.random.Generator) -> None:
    """Write an array of count images, the stamps taken in turn, under its name once complete."""
    images = np.empty((count, 3, SIDE, SIDE), np.float32)
    for index in range(count):
        stamp = stamps[index % len(stamps)]
        images[index] = on_white(stamp) if path.stem == "shifted" else compose(stamp, rng)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, images)
    part.rename(path)
    print(f"{path.name}: {count} images of {min(count, len(stamps))} stamps")


def prepare_photographs(out: Path) -> None:
    """Make the arrays of photographs in the out folder unless they exist."""
    missing = [name for name in COUNTS if not (out / f"{name}.npy").exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as scratch:
        stamps = find_stamps(fetch_debian(PACKAGE, Path(scratch)))
        dealt = split(stamps, np.random.default_rng(SEED))
        for name in missing:
            rng = np.random.default_rng([SEED, list(COUNTS).index(name)])
            write(out / f"{name}.npy", dealt[name], COUNTS[name], rng)
