"""Images and other samples on disk as a page lists them: a pattern a line, and what kind after two spaces.

pets/{cat,dog}/{1..40}.jpg
scans.zip/{ill,well}/{1..5}.png  16 bit
pets/cat/41.jpg  broken
walks.npz
steps.csv  recordings
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import wavfile

SIDE_PX = 24
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP"}


def _noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 255, shape, np.uint8)


def _mask(rng: np.random.Generator) -> Image.Image:
    """Class 1 or 2 in a rectangle, 0 around it."""
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    mask[4:20, 6:18] = rng.integers(1, 3)
    return Image.fromarray(mask)


def _deep(rng: np.random.Generator) -> Image.Image:
    """12 bits in 16, as cameras and scanners write them."""
    return Image.fromarray(rng.integers(0, 4095, (SIDE_PX, SIDE_PX), np.uint16))


KINDS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "": lambda rng: Image.fromarray(_noise(rng, SIDE_PX, SIDE_PX, 3)),
    "grey": lambda rng: Image.fromarray(_noise(rng, SIDE_PX, SIDE_PX)),
    "16 bit": _deep,
    "mask": _mask,
    "transparent": lambda rng: Image.fromarray(_noise(rng, SIDE_PX, SIDE_PX, 4)),
    "640 x 480": lambda rng: Image.fromarray(_noise(rng, 60, 80, 3)).resize((640, 480)),
}


def _windows(rng: np.random.Generator) -> bytes:
    """60 windows of 64 samples and three channels, of 20 persons who walk or rest."""
    buffer = io.BytesIO()
    persons = np.arange(60) // 3
    x = rng.normal(0.0, 1.0 + persons[:, None, None] % 2, (60, 64, 3)).astype(np.float32)
    np.savez(buffer, x=x, y=persons % 2, names=np.array(["rest", "walk"]), groups=persons)
    return buffer.getvalue()


def _recordings(rng: np.random.Generator) -> bytes:
    """Ten recordings of 200 moments, with two channels."""
    labels = ("flat", "stairs")
    rows = [
        f"{recording},{moment / 50:.2f},{rng.normal():.3f},{rng.normal():.3f},{labels[recording % 2]}"
        for recording in range(10)
        for moment in range(200)
    ]
    return "\n".join(["recording,time,left,right,label", *rows, ""]).encode()


def _sound(rng: np.random.Generator) -> bytes:
    """Half a second of noise at 8 kHz, 16 bits."""
    buffer = io.BytesIO()
    wavfile.write(buffer, 8000, rng.integers(-9999, 9999, 4000).astype(np.int16))
    return buffer.getvalue()


def _boxes(rng: np.random.Generator) -> bytes:
    """A line of YOLO: a box of one of two classes in the middle of an image."""
    x, y, width, height = rng.uniform(0.3, 0.6, 4)
    return f"{rng.integers(2)} {x:.4f} {y:.4f} {width:.4f} {height:.4f}\n".encode()


SIGNALS: dict[str, Callable[[np.random.Generator], bytes]] = {
    ".npz": _windows,
    ".csv": _recordings,
    ".wav": _sound,
    ".txt": _boxes,
}
"""By suffix."""


def expand(pattern: str) -> Iterator[str]:
    """The names that bash makes of braces: `{a,b}` and `{1..3}`."""
    match = re.search(r"\{([^{}]+)\}", pattern)
    if match is None:
        yield pattern
        return
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    words = map(str, range(int(span[1]), int(span[2]) + 1)) if span else match[1].split(",")
    for word in words:
        yield from expand(pattern[: match.start()] + word + pattern[match.end() :])


def encoded(path: str, kind: str, rng: np.random.Generator) -> bytes:
    """The bytes of an image of that kind; of a file that is none, whatever it would hold."""
    suffix = Path(path).suffix
    if suffix in SIGNALS:
        return SIGNALS[suffix](rng)
    if suffix not in FORMATS:
        return b"not an image\n"
    buffer = io.BytesIO()
    KINDS["" if kind == "broken" else kind](rng).save(buffer, FORMATS[suffix])
    return buffer.getvalue()[: 200 if kind == "broken" else None]


def write_image_files(listing: str, folder: Path) -> None:
    """Write what `listing` lists into `folder`; a part `NAME.zip/` of a path is an archive."""
    rng = np.random.default_rng(0)
    for line in listing.splitlines():
        pattern, _, kind = (part.strip() for part in line.partition("  "))
        for name in expand(pattern):
            content = encoded(name, kind, rng)
            archive, inside, member = name.partition(".zip/")
            if inside:
                with zipfile.ZipFile(folder / f"{archive}.zip", "a") as file:
                    file.writestr(member, content)
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
