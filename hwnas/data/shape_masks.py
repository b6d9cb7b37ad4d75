"""`shape-masks`: the five shapes of `shapes` over clutter, with a mask; needs no file and no network.

A picture holds each shape with probability 0.35, of any colour, over bars that belong to the ground. Its mask
tells the class of each pixel: the ground, or the topmost shape that covers at least half of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.tasks import SEGMENTATION

from .arrays import ArraySource
from .scenes_drawing import Draws
from .shapes import SHAPES, SIDE_PX, Plane, cover_of, grid, ground, ink, inside, noisy, paint
from .source import NAMED, TEST, TRAIN, VAL, DataRequest, DataSource, Listing

N_PICTURES, N_VAL, N_TEST = 1800, 300, 300
CLASSES = ("ground", *SHAPES)

_SHARE = 35  # percent of the pictures that hold a shape
_BARS = 5
_SEED = 3141
_UNIT = 1000


@NAMED.add("shape-masks")
def open_shape_masks(request: DataRequest) -> DataSource:
    """The pictures with masks."""
    draws = Draws(_SEED, 1)
    there = draws.below(100, N_PICTURES, len(SHAPES)) < _SHARE
    pixels, masks = draw_masked(draws, there)
    counts = np.stack([np.bincount(mask.ravel(), minlength=len(CLASSES)) for mask in masks])
    given = np.full(N_PICTURES, TRAIN, np.int8)
    given[:N_TEST], given[N_TEST : N_TEST + N_VAL] = TEST, VAL
    listing = Listing(
        name="shape-masks",
        class_names=CLASSES,
        in_channels=3,
        flip=True,
        names=tuple(f"shape-masks-{index:04d}" for index in range(N_PICTURES)),
        labels=counts.astype(np.int64),
        given=given,
        sizes_bytes=np.full(N_PICTURES, SIDE_PX * SIDE_PX * 4, np.int64),
        task=SEGMENTATION,
    )
    return ArraySource(listing, np.concatenate([pixels, masks[..., None]], axis=3), SIDE_PX)


def draw_masked(
    draws: Draws, there: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """(n, 32, 32, 3) of what is there, (n, 5), and the masks (n, 32, 32)."""
    n = len(there)
    image, masks = ground(draws, n), np.zeros((n, SIDE_PX, SIDE_PX), np.uint8)
    for _ in range(_BARS):
        image = paint(image, bar(draws, n), ink(draws, n))
    order = np.argsort(draws.below(1 << 30, *there.shape), axis=1, kind="stable")
    for place in range(len(SHAPES)):
        kinds = order[:, place]
        y, x = (draws.between(6 * _UNIT, 26 * _UNIT, n) / _UNIT for _ in range(2))
        radius = draws.between(5 * _UNIT, 9 * _UNIT, n) / _UNIT
        cover = cover_of(kinds, there[np.arange(n), kinds], y, x, radius)
        image = paint(image, cover, ink(draws, n))
        masks = np.where(cover >= 0.5, (kinds + 1)[:, None, None], masks).astype(np.uint8)
    return noisy(draws, image), masks


def bar(draws: Draws, n: int) -> Plane:
    """A bar 6 to 20 px long and 2 px wide, anywhere, in any direction."""
    y, x = (draws.between(0, 32 * _UNIT, n) / _UNIT for _ in range(2))
    turn = np.deg2rad(draws.between(0, 180, n))[:, None, None]
    half = (draws.between(3 * _UNIT, 10 * _UNIT, n) / _UNIT)[:, None, None]
    down, right = grid(y, x)
    along, across = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
    return inside(np.minimum(half - np.abs(along), 1.0 - np.abs(across)))
