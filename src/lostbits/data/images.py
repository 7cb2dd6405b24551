"""Samples from image files, one each."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lostbits.data.conversion import whole_numbers
from lostbits.data.cursor import Item
from lostbits.data.interface import Interface
from lostbits.data.paths import check_room, reading
from lostbits.data.preprocess import Preprocess
from lostbits.data.samples import Samples
from lostbits.data.source import InputSpec
from lostbits.errors import DataError
from lostbits.system.files import size_of

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
# Pillow goes by the content, and would run Ghostscript on a file that only looks like an image.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_DECODED = 8  # bytes a pixel: what is decoded, and its copy in another form
_SCALED = 12  # bytes a value: pixels as float32, and two steps of the arithmetic
_CHANNEL_AXES = {"NCHW": 1, "NHWC": 3}
_CHANNELS = {"GRAY": 1, "RGB": 3, "BGR": 3}
_MODES = frozenset({"1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"})  # 8 bits, no alpha
_ORIENTATION = 0x0112  # EXIF: how the camera was held
# As viewers and OpenCV turn a photograph; what is stored may lie on its side.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = frozenset({"LA", "PA", "RGBA", "La", "RGBa"})


@final
@dataclass(frozen=True)
class ImageReader:
    """Preprocess settings with all that they leave to the model filled in.

    Args:
        settings: The settings.
        size: Height and width.
        layout: Order of the axes.
        colour: Channels.
        spec: The input that the images are for.
    """

    settings: Preprocess
    size: tuple[int, int]
    layout: str
    colour: str
    spec: InputSpec

    @classmethod
    def for_input(cls, settings: Preprocess, spec: InputSpec) -> Self:
        """Fill in what the settings leave open.

        Raises:
            DataError: D007, D012, D013: the model takes no images, leaves it open too, or
                contradicts the settings.
        """
        if len(spec.shape) != 4:
            raise DataError(
                "D007.images", "folder of images", f"{len(spec.shape)} axes", name=spec.name
            )
        layout = settings.layout or _layout(spec)
        colour = _colour(settings, spec, spec.shape[_CHANNEL_AXES[layout]])
        return cls(settings, _size(settings, spec, layout), layout, colour, spec)

    def read(self, path: Path) -> dict[str, NDArray[Any]]:
        """The image as one sample for the input."""
        with reading(str(path)), _opened(path) as image:
            self._check_room(path, image.size)
            coloured = self._in_colour(path, image)
            turn = _TURNS.get(_orientation(image))
            upright = coloured if turn is None else coloured.transpose(turn)
            self._check_room(path, upright.size)
            pixels = np.asarray(self._resized(upright), np.float32)
        return self._sample(pixels)

    def _sample(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
        pixels = pixels[..., ::-1] if self.colour == "BGR" else pixels
        mean, std = (np.array(v, np.float32) for v in (self.settings.mean, self.settings.std))
        with np.errstate(over="ignore"):  # to infinity, which is looked for in all samples
            x = (pixels * np.float32(self.settings.scale) - mean) / std
        x = x.transpose(2, 0, 1) if self.layout == "NCHW" else x
        return {self.spec.name: self._typed(x)[np.newaxis]}

    def _typed(self, x: NDArray[np.float32]) -> NDArray[Any]:
        if self.spec.dtype.kind not in "iu":
            return x
        whole = whole_numbers(x)
        if whole.dtype.kind == "f":
            raise DataError(
                "D012.whole",
                "preprocess 'scale'",
                "fractions",
                name=self.spec.name,
                dtype=self.spec.dtype,
            )
        return whole

    def _in_colour(self, path: Path, image: Image.Image) -> Image.Image:
        where, colour = str(path), self.colour
        if image.mode not in _MODES | _ALPHA_MODES or _is_deep(image):
            found = f"this one, of mode {image.mode!r}, has other than 8 bits a channel"
            raise DataError("D013.depth", where, found, colour=colour)
        if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: JPEG and extras
            raise DataError("D013.animation", where, "this one is an animation", colour=colour)
        if image.mode in _ALPHA_MODES or "transparency" in image.info:
            image = image.convert("RGBA")
            if image.getchannel("A").getextrema() != (255, 255):
                found = "this one is transparent in places"
                raise DataError("D013.transparent", where, found, colour=colour)
        return image.convert("L" if self.colour == "GRAY" else "RGB")

    def _check_room(self, path: Path, size: tuple[int, int]) -> None:
        """Before it is decoded."""
        check_room(str(path), "an image", _DECODED * prod(size))
        check_room(str(path), "an image, resized,", _DECODED // 2 * prod(self._resized_to(size)))

    def _resized_to(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height, of which the centre may be cut out."""
        height, width = self.size
        if self.settings.resize == "stretch":
            return width, height
        factor = max(width / size[0], height / size[1])
        if self.settings.shorter is not None:
            factor = self.settings.shorter / min(size)
        return max(width, round(size[0] * factor)), max(height, round(size[1] * factor))

    def _resized(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        image = image.resize(self._resized_to(image.size), Image.Resampling.BILINEAR)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))


def _opened(path: Path) -> Image.Image:
    size_of(path)
    with warnings.catch_warnings():  # of many pixels; whether memory holds them is checked here
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)  # of a camera's notes that are cut short
        return Image.open(path, formats=_FORMATS)


def _orientation(image: Image.Image) -> int:
    """What the camera noted; 1, upright, where nothing that can be read says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        noted = image.getexif().get(_ORIENTATION, 1)
    return noted if isinstance(noted, int) else 1


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow drops the lower ones unasked."""
    return any("16B" in str(tile.args) for tile in getattr(image, "tile", ()))


def images_in_files(name: str, paths: list[Path], reader: ImageReader) -> Samples:
    """The samples of image files, which are decoded whenever they are read."""
    read = partial(_images, paths, reader)
    return Samples.all_of(name, Interface((reader.spec,)), read, len(paths))


def _images(paths: list[Path], reader: ImageReader) -> Iterator[Item]:
    return (Item(str(path), 1, partial(reader.read, path)) for path in paths)


def _layout(spec: InputSpec) -> str:
    for layout, axis in _CHANNEL_AXES.items():
        if spec.shape[axis] in _CHANNELS.values():
            return layout
    found = f"input {spec.name!r} of shape {spec.shape} has 1 or 3 channels nowhere"
    raise DataError("D012.layout", "preprocess 'layout'", found)


def _colour(settings: Preprocess, spec: InputSpec, channels: int | None) -> str:
    colour = settings.colour or ("GRAY" if channels == 1 else "RGB")
    count = _CHANNELS[colour]
    if channels not in (None, count):
        raise DataError(
            "D013.channels",
            "preprocess 'colour'",
            f"{colour} has {count}",
            name=spec.name,
            channels=channels,
        )
    for key, values in (("mean", settings.mean), ("std", settings.std)):
        if len(values) not in (1, count):
            found = f"{len(values)} numbers"
            raise DataError("D012.channels", f"preprocess {key!r}", found, count=count)
    return colour


def _size(settings: Preprocess, spec: InputSpec, layout: str) -> tuple[int, int]:
    axes = spec.shape[2:] if layout == "NCHW" else spec.shape[1:3]
    height, width = settings.size or axes
    if any(
        fixed not in (None, chosen) for fixed, chosen in zip(axes, (height, width), strict=True)
    ):
        found = f"{height} x {width}"
        raise DataError("D012.fixed", "preprocess 'size'", found, name=spec.name, shape=spec.shape)
    if height is None or width is None:
        found = f"input {spec.name!r} leaves height or width open"
        raise DataError("D012.size", "preprocess 'size'", found)
    if settings.shorter is not None and settings.shorter < max(height, width):
        found = f"{settings.shorter} for {height} x {width}"
        raise DataError("D012.shorter", "preprocess 'shorter'", found)
    channels = spec.shape[_CHANNEL_AXES[layout]] or 1
    check_room(
        "preprocess 'size'", f"a sample of {height} x {width}", _SCALED * height * width * channels
    )
    return height, width
