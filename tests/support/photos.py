"""Photos that a convolutional network learns and a linear model does not, from a seed.

Three classes by the texture of a patch: stripes along, stripes across, checks. Place, size, colours,
contrast, phase and period of the texture are random, so that no pixel by itself says anything. The background
is of soft random colours with noise.

    python -m tests.support.photos FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("along", "across", "checked")
WIDTH, HEIGHT = 640, 480


def photo(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One photo of a class: (480, 640, 3)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    period, phase = rng.uniform(50, 90), rng.uniform(0, 2 * np.pi, 2)
    tilt = rng.normal(0, 0.1)  # nobody holds a camera level
    u, v = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    waves = np.sin(2 * np.pi * u / period + phase[0]), np.sin(2 * np.pi * v / period + phase[1])
    wave = {"along": waves[1], "across": waves[0], "checked": waves[0] * waves[1]}[kind]
    centre = rng.uniform(0.35, 0.65, 2) * (HEIGHT, WIDTH)
    radius = rng.uniform(0.3, 0.5, 2) * HEIGHT
    inside = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    background = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    light, dark = rng.uniform(0, 255, (2, 3))
    while abs((light - dark).mean()) < 60:
        light, dark = rng.uniform(0, 255, (2, 3))
    texture = np.where(wave[..., None] > 0, light, dark)
    image = np.where(inside[..., None], texture, background) + rng.normal(0, 12, (HEIGHT, WIDTH, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def write_photos(folder: Path, n: int = 600, seed: int = 0) -> Path:
    """`n` JPEG files in a folder per class."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        kind = CLASSES[i % len(CLASSES)]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(kind, rng)).save(folder / kind / f"{i:04}.jpg", quality=85)
    return folder


if __name__ == "__main__":
    write_photos(Path(sys.argv[1]))
