"""One mask file to class numbers, and what colours mean.

A mask is a lossless image of the size of its own image. Grey values and palette indices are class numbers,
colours are looked up; 255, and the colour that stands for it, is a pixel that counts nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from hwnas.tasks.mask_scores import IGNORED, palette
from targets.errors import DamagedFileError, UsageError

from .image import MAX_PIXELS, opened

MaskArray = npt.NDArray[np.uint8]
"""(h, w) class numbers."""
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
MOST_CLASSES = 255
CLASS_FILES = ("classes.txt", "labels.txt")

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

_COLOUR = re.compile(r"[\s,;]+(?:#(?P<hex>[0-9a-fA-F]{6})|(?P<r>\d+)[\s,]+(?P<g>\d+)[\s,]+(?P<b>\d+))\s*$")


@dataclass(frozen=True, slots=True)
class MaskClasses:
    """names: in the order of their numbers; empty where no file says them. colours: number by (r, g, b)."""

    names: tuple[str, ...] = ()
    colours: Mapping[tuple[int, int, int], int] | None = None

    @classmethod
    def parse(cls, text: str, where: str) -> MaskClasses:
        """Of a file with a class per line, with its colour or not: `road`, `road 128 64 128`, `road #804080`.

        UsageError where two are equal, or some have a colour and others none.
        """
        names: list[str] = []
        colours: dict[tuple[int, int, int], int] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            match = _COLOUR.search(line)
            if match:
                colour = _colour(match)
                if colour in colours:
                    raise UsageError(f"{where}: two classes have the colour of {line!r}; give each its own")
                colours[colour] = len(names)
            names.append(line[: match.start()].strip() if match else line)
        doubled = {name for name in names if names.count(name) > 1}
        if doubled or not names or len(names) > MOST_CLASSES:
            fault = f"names {min(doubled)!r} twice" if doubled else f"names {len(names)} classes"
            raise UsageError(f"{where}: {fault}; give 1 to {MOST_CLASSES} different names, one per line")
        if colours and len(colours) < len(names):
            raise UsageError(
                f"{where}: {len(colours)} of {len(names)} classes have a colour; give one to each, or to none"
            )
        return cls(tuple(names), colours or None)

    def numbers(self, raw: bytes, where: str) -> MaskArray:
        """The class of every pixel of a mask file.

        DamagedFileError where it cannot be read; UsageError where it is no mask.
        """
        with opened(raw, where) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DamagedFileError(f"{where}: {image.width} x {image.height} pixels are too many")
            if image.format == "JPEG" or (image.format == "WEBP" and not _is_lossless(raw)):
                raise UsageError(f"{where}: {image.format} blurs the classes of a mask; save masks as PNG")
            if image.mode in ("RGB", "RGBA"):
                return self._looked_up(np.asarray(image.convert("RGB")), where)
            values = np.asarray(image.getchannel("L") if image.mode == "LA" else image)
        if self.colours is not None and image.mode == "P":
            raise UsageError(f"{where}: has indices, and the classes have colours; leave the colours out")
        if values.dtype.kind not in "uib" or values.ndim != 2 or (values.size and int(values.max()) > 255):
            said = "numbers with a fraction" if values.dtype.kind == "f" else "values above 255"
            raise UsageError(
                f"{where}: holds {said}; masks hold class numbers 0 to 254, and {IGNORED} "
                "where nothing is known"
            )
        return values.astype(np.uint8)

    def _looked_up(self, pixels: npt.NDArray[np.uint8], where: str) -> MaskArray:
        codes = (pixels.astype(np.int64) << (16, 8, 0)).sum(axis=2)
        seen, place = np.unique(codes, return_inverse=True)
        for known in (self.colours, None if self.colours else _VOC):
            numbers = [(known or {}).get(_parts(int(code))) for code in seen]
            if None not in numbers:
                return np.array(numbers, np.uint8)[place].reshape(codes.shape)
        if self.colours is None and (pixels == pixels[..., :1]).all():
            return pixels[..., 0]
        table = self.colours or _VOC
        strange = next(_parts(int(code)) for code in seen if _parts(int(code)) not in table)
        said = "classes.txt" if self.colours else "the palette of PASCAL VOC"
        raise UsageError(
            f"{where}: the colour {strange[0]} {strange[1]} {strange[2]} is none of {said}; give a "
            "classes.txt beside the images with a line per class, as `road 128 64 128`, or save class "
            "numbers as grey"
        )


def shape_of(raw: bytes, where: str) -> tuple[int, int]:
    """(width, height) of an image as it is seen upright, from its header."""
    with opened(raw, where) as image:
        turned = image.getexif().get(0x0112, 1) >= 5 if "exif" in image.info else False
        return (image.height, image.width) if turned else (image.width, image.height)


def fit_mask(mask: MaskArray, image_size: int) -> MaskArray:
    """(image_size, image_size): the central square, as `image.fit` cuts it, of each pixel the nearest."""
    height, width = mask.shape
    if (height, width) == (image_size, image_size):
        return mask
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    square = Image.fromarray(mask).resize((image_size, image_size), Image.Resampling.NEAREST, box=box)
    return np.asarray(square)


def count_classes(mask: MaskArray) -> npt.NDArray[np.int64]:
    """(256,) pixels of each value."""
    return np.bincount(mask.ravel(), minlength=256).astype(np.int64)


def names_of(classes: MaskClasses, used: Sequence[int], where: str) -> tuple[str, ...]:
    """What the classes are called. used: the numbers that masks hold, 255 not among them.

    UsageError where a number has no name, or the numbers are not 0, 1, 2, ….
    """
    most = max(used, default=0)
    if classes.names:
        if most >= len(classes.names):
            raise UsageError(
                f"{where}: masks hold the class {most}, and {len(classes.names)} classes are named (0 to "
                f"{len(classes.names) - 1}); name it too, or save {IGNORED} where nothing is known"
            )
        return classes.names
    if not used:
        raise UsageError(
            f"{where}: masks hold {IGNORED} in every pixel, which says nothing; save class numbers"
        )
    if len(used) * 2 <= most:
        told = ", ".join(map(str, sorted(used)[:6]))
        raise UsageError(
            f"{where}: masks hold {told}, which are no class numbers 0, 1, 2, ...; save them so, or save "
            "colours and give a classes.txt with a line per class, as `road 128 64 128`"
        )
    return tuple(str(number) for number in range(most + 1))


def _colour(match: re.Match[str]) -> tuple[int, int, int]:
    if match["hex"]:
        return _parts(int(match["hex"], 16))
    return int(match["r"]), int(match["g"]), int(match["b"])


def _parts(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255


def _is_lossless(raw: bytes) -> bool:
    return b"VP8L" in raw[:64]


_VOC = {(int(r), int(g), int(b)): number for number, (r, g, b) in reversed(list(enumerate(palette())))}
"""Number by colour. The last, 224 224 192, stands for 255."""
