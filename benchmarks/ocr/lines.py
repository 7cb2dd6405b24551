"""Random lines of text, rendered as the recognition network wants them: 48 x 320, in [-1, 1]."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.peers.job import Floats
from benchmarks.prepare.ocr import HALF, blank, normalise

HEIGHT, WIDTH = 48, 320
FONTS = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf",
    "LiberationSans-Regular.ttf", "LiberationSerif-Regular.ttf", "LiberationSans-Bold.ttf",
    "LiberationSerif-Italic.ttf", "LiberationMono-Regular.ttf",
)  # fmt: skip
WORDS = (
    "apple", "station", "harbour", "invoice", "window", "seven", "market", "silver", "bridge",
    "garden", "yellow", "quick", "doctor", "river", "paper", "signal", "object", "kitchen",
    "velvet", "mountain", "jacket", "winter", "zone", "exit", "ticket", "fabric",
)  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def lines(count: int, seed: int) -> tuple[Floats, list[str]]:
    """Return images and the texts that they show."""
    rng = np.random.default_rng(seed)
    texts = [text(rng) for _ in range(count)]
    return np.stack([render(each, rng) for each in texts]), texts


def text(rng: np.random.Generator) -> str:
    """Return one line: words, a date, an amount, a code, or a mixture."""
    kinds = (_words, _date, _amount, _code, lambda rng: f"{_words(rng, 1)} {_code(rng)}")
    return kinds[rng.integers(len(kinds))](rng)


def _words(rng: np.random.Generator, most: int = 2) -> str:
    chosen = rng.choice(WORDS, int(rng.integers(1, most + 1)), replace=False)
    cases = (str.lower, str.upper, str.title)
    return " ".join(cases[rng.integers(3)](str(word)) for word in chosen)


def _date(rng: np.random.Generator) -> str:
    day, month, year = (int(rng.integers(a, b)) for a, b in ((1, 29), (1, 13), (1990, 2040)))
    forms = (
        f"{day:02}.{month:02}.{year}",
        f"{year}-{month:02}-{day:02}",
        f"{day} {MONTHS[month - 1]} {year}",
    )
    return forms[rng.integers(3)]


def _amount(rng: np.random.Generator) -> str:
    value = float(10 ** rng.uniform(0, 5))
    forms = (f"{value:.2f} EUR", f"${value:.2f}", f"{value:.0f} kg", f"No. {value:.0f}")
    return forms[rng.integers(4)]


def _code(rng: np.random.Generator) -> str:
    letters, digits = rng.choice(list("ABCDEFGHKLMNPRSTUVWXYZ"), 3), rng.integers(0, 10, 4)
    return "".join(letters) + "-" + "".join(map(str, digits))


def render(line: str, rng: np.random.Generator) -> Floats:
    """Return one image: a background with noise, the line in some font and size, a little blur."""
    sheet = blank(WIDTH, HEIGHT, rng)
    light = np.asarray(sheet).mean() > 127
    ink = tuple(int(v) for v in (rng.integers(0, 90, 3) if light else rng.integers(170, 256, 3)))
    name, left = FONTS[rng.integers(len(FONTS))], int(rng.integers(3, 12))
    size = next(s for s in range(int(rng.integers(26, 37)), 5, -1) if _fits(name, s, line, left))
    ImageDraw.Draw(sheet).text((left, HEIGHT // 2), line, ink, font(name, size), anchor="lm")
    soft = sheet.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.9))))
    noise = rng.normal(0, rng.uniform(0, 14), (HEIGHT, WIDTH, 3))
    pixels = (np.asarray(soft) + noise).clip(0, 255).astype(np.uint8)
    return normalise(Image.fromarray(pixels), HALF, HALF)


def _fits(name: str, size: int, line: str, left: int) -> bool:
    return bool(font(name, size).getlength(line) <= WIDTH - 2 * left)


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of the machine, or Pillow's own where that is missing."""
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return ImageFont.load_default(size)
