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
from PIL import Image, ImageOps, UnidentifiedImageError

from targets.errors import DamagedFileError

PREPROCESSING = "central square, scaled by an antialiased bicubic filter"
SUFFIXES = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
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


Levels = tuple[float, float]
"""What is black and what is white in images of more than 8 bits."""


def decode(
    raw: bytes, where: str, image_size: int, channels: int, levels: Levels | None = None
) -> npt.NDArray[np.uint8]:
    """`raw` as (channels, image_size, image_size); DamagedFileError naming `where` when it is broken.

    levels: of an image of more than 8 bits; None: all that 16 bits hold.
    """
    with opened(raw, where) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DamagedFileError(
                f"{where}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are read; shrink it"
            )
        # JPEG only: decode at 1/2, 1/4 or 1/8 where that still leaves image_size pixels.
        image.draft("RGB" if channels == 3 else "L", (image_size, image_size))
        upright = ImageOps.exif_transpose(image) if "exif" in image.info else image
        return fit(_plain(upright, channels, levels), image_size)


def short_side_px(raw: bytes, where: str) -> int:
    """Length of the shorter side, from the header alone."""
    with opened(raw, where) as image:
        return min(image.size)


def deep_range(raw: bytes, where: str) -> tuple[str, float, float] | None:
    """(mode, lowest, highest value) of an image of more than 8 bits a channel; None for any other."""
    with opened(raw, where) as image:
        if not _is_deep(image) or image.width * image.height > MAX_PIXELS:
            return None
        values = np.asarray(image, np.float64)
        finite = values[np.isfinite(values)]
        return (image.mode, float(finite.min()), float(finite.max())) if finite.size else None


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


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
def opened(raw: bytes, where: str) -> Iterator[Image.Image]:
    """The lazily decoded image; whatever the decoder raises names `where`, its warnings are not passed on."""
    if not raw:
        raise DamagedFileError(f"{where}: the image is empty (0 bytes); replace or remove it")
    try:
        raw = _without_texts(raw)
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(raw), formats=_FORMATS) as image:
            yield image
    except UnidentifiedImageError:
        text = f"{where}: cannot be read as an image: none of {', '.join(_FORMATS)}; replace or remove it"
        raise DamagedFileError(text) from None
    except _DECODER_ERRORS as error:
        text = f"{where}: cannot be read as an image ({error}); replace or remove it"
        raise DamagedFileError(text) from None


def _eight_bits(values: npt.NDArray[np.generic], levels: Levels | None) -> npt.NDArray[np.uint8]:
    """Values of more than 8 bits as 0 to 255; Pillow clips them instead of scaling."""
    if levels is None or levels == (0, 65535):
        return (np.nan_to_num(values.astype(np.float64)).clip(0, 65535) // 257).astype(np.uint8)
    low, high = levels
    share = (np.nan_to_num(values.astype(np.float64)).clip(low, high) - low) / max(high - low, 1e-300)
    return np.round(255 * share).astype(np.uint8)


_PNG, _TEXTS = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"zTXt", b"iTXt")


def _without_texts(raw: bytes) -> bytes:
    """A PNG without its texts, which say nothing of the pixels, and of which Pillow refuses large ones."""
    if not raw.startswith(_PNG) or not any(kind in raw for kind in _TEXTS):
        return raw
    kept, at = [_PNG], len(_PNG)
    while at + 8 <= len(raw):
        end = at + 12 + int.from_bytes(raw[at : at + 4], "big")
        if raw[at + 4 : at + 8] not in _TEXTS:
            kept.append(raw[at:end])
        at = end
    return b"".join([*kept, raw[at:]])


def _plain(image: Image.Image, channels: int, levels: Levels | None) -> Image.Image:
    """`image` in mode RGB or L, whatever it was."""
    if _is_deep(image):
        image = Image.fromarray(_eight_bits(np.asarray(image), levels))
    if image.has_transparency_data:  # on white: drawings in black on nothing would vanish on black
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    wanted = "RGB" if channels == 3 else "L"
    return image if image.mode == wanted else image.convert(wanted)
