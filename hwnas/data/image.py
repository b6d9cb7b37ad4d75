"""One encoded image to one square uint8 array: the only place that decodes and resizes.

Each image is turned upright (EXIF), cropped to its central square and scaled by an antialiased bicubic
filter; grey, palette, 16-bit and transparent images become plain RGB or grey.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from targets.errors import DamagedFileError

PREPROCESSING = "central square, scaled by an antialiased bicubic filter"
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Only these decoders run, whatever the suffix says; the most frequent first.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
MAX_PIXELS = 89_000_000  # just below where Pillow starts to warn of decompression bombs
MIN_SIZE, MAX_SIZE, SIZE_STEP = 16, 224, 16

# What Pillow's decoders raise on damaged bytes (found by mutating files of every format above).
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def decode(raw: bytes, where: str, image_size: int, channels: int) -> npt.NDArray[np.uint8]:
    """`raw` as (channels, image_size, image_size); DamagedFileError naming `where` when it is broken."""
    with _opened(raw, where) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DamagedFileError(
                f"{where}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are read; shrink it"
            )
        # JPEG only: decode at 1/2, 1/4 or 1/8 where that still leaves image_size pixels.
        image.draft("RGB" if channels == 3 else "L", (image_size, image_size))
        upright = ImageOps.exif_transpose(image) if "exif" in image.info else image
        return fit(_plain(upright, channels), image_size)


def short_side_px(raw: bytes, where: str) -> int:
    """Length of the shorter side, from the header alone."""
    with _opened(raw, where) as image:
        return min(image.size)


def fit(image: Image.Image, image_size: int) -> npt.NDArray[np.uint8]:
    """The central square of an L or RGB image as (c, image_size, image_size)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    square = image.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(square)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def round_size(side_px: float) -> int:
    """The multiple of 16 within 16..224 nearest to `side_px`."""
    return min(MAX_SIZE, max(MIN_SIZE, SIZE_STEP * int(side_px / SIZE_STEP + 0.5)))


@contextmanager
def _opened(raw: bytes, where: str) -> Iterator[Image.Image]:
    """The lazily decoded image; whatever the decoder raises names `where`, its warnings are not passed on."""
    if not raw:
        raise DamagedFileError(f"{where}: the image is empty (0 bytes); replace or remove it")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(raw), formats=_FORMATS) as image:
            yield image
    except _DECODER_ERRORS as error:
        text = f"{where}: cannot be read as an image ({error}); replace or remove it"
        raise DamagedFileError(text) from None


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """`image` in mode RGB or L, whatever it was."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow clips 16 bits to 255 instead of scaling them.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:  # on white: drawings in black on nothing would vanish on black
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    wanted = "RGB" if channels == 3 else "L"
    return image if image.mode == wanted else image.convert(wanted)
