"""Decoding one image: the formats that are let in, the limits, and the pixels as the networks take them."""

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from core.importing.limits import MAX_PIXELS

# By content, whatever the name says. Of animations the first picture.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
SUFFIXES = frozenset({"png", "jpg", "jpeg", "webp", "bmp", "gif"})
GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N"})
_MODES = GREY_MODES | {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "La", "RGBa"}

# Orientations of EXIF that exchange width and height.
_LYING = (5, 6, 7, 8)

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# Pillow warns from here on, and raises only at twice as many pixels.
warnings.simplefilter("error", Image.DecompressionBombWarning)

# What Pillow's decoders raise on content that is cut short or is something else.
UNREADABLE = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, struct.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


def open_image(content: bytes) -> Image.Image:
    """The header only; the pixels are decoded by `pixels_of`. Raises one of UNREADABLE."""
    image = Image.open(io.BytesIO(content), formats=_FORMATS)
    if image.mode not in _MODES:
        raise ValueError(f"pixels of kind {image.mode} are not supported")
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of what `upright` makes of it, seen from the header. Raises one of UNREADABLE."""
    # Not the format's own method: PNG's decodes the pixels where the header has no such note.
    orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    return image.size[::-1] if orientation in _LYING else image.size


def upright(image: Image.Image) -> Image.Image:
    """Decoded, and turned as its camera noted. Raises one of UNREADABLE."""
    image.load()
    return ImageOps.exif_transpose(image)


def pixels_of(image: Image.Image, channels: int, size: int | None) -> NDArray[np.uint8]:
    """(C, H, W): the middle square resized to `size`, or the image as it is."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("L" if channels == 1 else "RGB")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def explain(error: Exception) -> str:
    """Why an image was left out, in one short line."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS // 1_000_000} million pixels"
    if "cannot identify" in str(error):
        return "not a PNG, JPEG, WebP, BMP or GIF image"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
