"""`shape-boxes`: the five shapes of `shapes` over clutter, each with a box; needs no file and no network.

A picture holds up to four shapes, each with probability 0.5 and of any kind and colour, over bars that belong
to the ground. A box is around those pixels of a shape that no later one hides; a shape of which less than a
quarter is left to see is a crowd, which counts nowhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.tasks import DETECTION

from .arrays import ArraySource
from .boxes import LEAST_SEEN, BoxRows, padded
from .scenes_drawing import Draws
from .shape_masks import bar
from .shapes import SHAPES, SIDE_PX, cover_of, ground, ink, noisy, paint
from .source import NAMED, TEST, TRAIN, VAL, DataRequest, DataSource, Listing

N_PICTURES, N_VAL, N_TEST = 1800, 300, 300
MOST_SHAPES = 4

_SHARE = 50  # percent of the places of a picture that hold a shape
_BARS = 3
_SEED = 1618
_UNIT = 1000


@NAMED.add("shape-boxes")
def open_shape_boxes(request: DataRequest) -> DataSource:
    """The pictures with boxes."""
    pixels, boxes = draw_boxed(Draws(_SEED, 1), N_PICTURES)
    given = np.full(N_PICTURES, TRAIN, np.int8)
    given[:N_TEST], given[N_TEST : N_TEST + N_VAL] = TEST, VAL
    listing = Listing(
        name="shape-boxes",
        class_names=SHAPES,
        in_channels=3,
        flip=True,
        names=tuple(f"shape-boxes-{index:04d}" for index in range(N_PICTURES)),
        labels=padded(boxes),
        given=given,
        sizes_bytes=np.full(N_PICTURES, SIDE_PX * SIDE_PX * 3, np.int64),
        task=DETECTION,
    )
    return ArraySource(listing, pixels, SIDE_PX)


def draw_boxed(draws: Draws, n: int) -> tuple[npt.NDArray[np.uint8], list[BoxRows]]:
    """(n, 32, 32, 3), and the boxes of each."""
    image = ground(draws, n)
    for _ in range(_BARS):
        image = paint(image, bar(draws, n), ink(draws, n))
    top = np.zeros((n, SIDE_PX, SIDE_PX), np.int64)  # the topmost shape of each pixel, from 1
    kinds, whole = (np.zeros((n, MOST_SHAPES), np.int64) for _ in range(2))
    for place in range(MOST_SHAPES):
        there = draws.below(100, n) < _SHARE
        kinds[:, place] = draws.below(len(SHAPES), n)
        y, x = (draws.between(6 * _UNIT, 26 * _UNIT, n) / _UNIT for _ in range(2))
        radius = draws.between(4 * _UNIT, 8 * _UNIT, n) / _UNIT
        cover = cover_of(kinds[:, place], there, y, x, radius)
        image = paint(image, cover, ink(draws, n))
        top[cover >= 0.5] = place + 1
        whole[:, place] = (cover >= 0.5).sum(axis=(1, 2))
    return noisy(draws, image), [_boxes(top[i], kinds[i], whole[i]) for i in range(n)]


def _boxes(top: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> BoxRows:
    """Around what is seen of each shape. whole: how many pixels each covers."""
    rows = []
    for place in range(MOST_SHAPES):
        down, across = np.nonzero(top == place + 1)
        if len(down):
            edges = (across.min(), down.min(), across.max() + 1, down.max() + 1)
            rows.append(
                [kinds[place], *(edge / SIDE_PX for edge in edges), len(down) < LEAST_SEEN * whole[place]]
            )
    return np.array(rows, np.float64).reshape(-1, 6)
