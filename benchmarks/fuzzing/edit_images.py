"""Edits of pictures: chunks of PNG, other formats behind its name, bombs."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
from PIL import Image

from benchmarks.fuzzing import edit_bytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunks = list[tuple[bytes, bytes]]


def picture(seed: int, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> bytes:
    """A PNG file of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    return saved(Image.fromarray(noise).convert(mode), "PNG")


def saved(image: Image.Image, form: str) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def edited(content: bytes, dice: Random) -> bytes:
    """A picture that is damaged, very large, or something else."""
    match dice.randrange(4):
        case 0:
            return edit_bytes.edited(content, dice)
        case 1:
            return dice.choice(_OTHERS)(dice)
        case _:
            chunks = _chunks(content)
            for _ in range(dice.choice((1, 1, 2))):
                dice.choice(_EDITS)(chunks, dice)
            return _joined(chunks, dice)


def _chunks(content: bytes) -> Chunks:
    found, place = [], len(_SIGNATURE)
    while place < len(content):
        (size,) = struct.unpack_from(">I", content, place)
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += size + 12
    return found


def _joined(chunks: Chunks, dice: Random) -> bytes:
    wrong = dice.random() < 0.1
    parts = [_SIGNATURE]
    for kind, content in chunks:
        check = zlib.crc32(kind + content) ^ wrong
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", check)]
    return b"".join(parts)


def _head(chunks: Chunks, dice: Random) -> None:
    facts = list(struct.unpack(">IIBBBBB", chunks[0][1])) if len(chunks[0][1]) == 13 else [1] * 7
    place = dice.randrange(7)
    sizes = (0, 1, 15, 17, 30_000, 100_000, 2**31 - 1, 2**31, 2**32 - 1)
    facts[place] = dice.choice(sizes) if place < 2 else dice.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    chunks[0] = b"IHDR", struct.pack(">IIBBBBB", *facts)


def _drop(chunks: Chunks, dice: Random) -> None:
    if len(chunks) > 1:
        del chunks[dice.randrange(len(chunks))]


def _double(chunks: Chunks, dice: Random) -> None:
    chunks.insert(dice.randrange(len(chunks) + 1), dice.choice(chunks))


def _damage(chunks: Chunks, dice: Random) -> None:
    number = dice.randrange(len(chunks))
    kind, content = chunks[number]
    chunks[number] = kind, edit_bytes.edited(content, dice)


def _extra(chunks: Chunks, dice: Random) -> None:
    """A chunk that says more: transparency, palettes, animation, comments that unpack to much."""
    text = b"key\0\0" + _packed(dice.choice((10, 80_000_000)))
    new = dice.choice(

        (
(b"tRNS", b"\0" * 6), (b"tRNS", b"\0"), (b"PLTE", b"\1\2\3" * 256), (b"PLTE", b"\1"),
(b"zTXt", text), (b"iCCP", text), (b"acTL", struct.pack(">II", 10**6, 0)), (b"iTXt", b"k\0"),
(b"gAMA", b"\0\0\0\0"), (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"), (b"pHYs", b""), (b"abcd", b"x"),
(b"fcTL", b"\0" * 26), (b"IEND", b""), (b"cICP", b"\xff"), (b"bKGD", b"\0"), (b"IHDR", b""),
),
    )  # fmt: skip
    chunks.insert(dice.choice((1, 1, len(chunks) - 1)), new)


_EDITS: tuple[Callable[[Chunks, Random], None], ...] = (
    _head, _head, _drop, _double, _damage, _damage, _extra, _extra,
)  # fmt: skip


@cache
def _packed(size: int) -> bytes:
    """So many zeros, packed."""
    return zlib.compress(bytes(size))


def _bomb(dice: Random) -> bytes:
    """Some kilobytes that become very many pixels."""
    side = dice.choice((5_000, 9_000, 12_000))
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = _packed(((side + 7) // 8 + 1) * side)
    return _joined([(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")], dice)


def _postscript(dice: Random) -> bytes:
    return (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n"
        b"(poisoned) (w) file closefile\n%%EOF\n"
    )


def _other_format(dice: Random) -> bytes:
    names = ("TIFF", "GIF", "PPM", "PCX", "TGA", "ICO", "BMP", "JPEG", "WEBP", "SGI", "DDS", "ICNS")
    image = Image.fromarray(np.full((16, 16, 3), 90, np.uint8))
    content = saved(image, dice.choice(names))
    return edit_bytes.edited(content, dice) if dice.random() < 0.4 else content


def _other_mode(dice: Random) -> bytes:
    mode = dice.choice(("1", "L", "P", "LA", "RGBA", "I;16", "I", "CMYK", "F", "YCbCr", "LAB"))
    forms = {"CMYK": "JPEG", "YCbCr": "JPEG", "F": "TIFF", "I": "TIFF", "LAB": "TIFF"}
    return saved(_in_mode(mode), forms.get(mode, "PNG"))


def _in_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.full((16, 16), 900, np.uint16))
    return Image.new(mode, (16, 16))


def _small(dice: Random) -> bytes:
    return picture(1, dice.choice(((1, 1), (1, 300), (300, 1), (2000, 3))))


def _foreign(dice: Random) -> bytes:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    return dice.choice(
        (b"", svg, b"%PDF-1.7\n", b"\0" * 1000, b"push graphic-context\n", b"GIF89a")
    )


_OTHERS: tuple[Callable[[Random], bytes], ...] = (
    _bomb, _postscript, _other_format, _other_format, _other_mode, _other_mode, _small, _foreign,
)  # fmt: skip
