"""`tilted`: small colour pictures of a handwritten digit, turned by an angle; needs no file and no network.

Two columns can be learned: `digit`, one of ten classes, and `tilt`, how far it was turned in degrees, -45 to
45; each alone, or both at once. The digits are the 1,797 inside scikit-learn, each in one picture. They were
not written upright, so that nobody could read the tilt exactly.
"""

from __future__ import annotations

import math

import numpy as np

from hwnas.tasks import LabelTable

from .arrays import ArraySource
from .scenes import split_digits
from .scenes_drawing import SIDE_PX, DigitPlaces, Draws, warp
from .shapes import ground, ink, noisy, paint
from .source import NAMED, DataRequest, DataSource, Listing

COLUMNS = ("digit", "tilt")
_SEED = 4711
_TURN = 26  # tangent of half the angle, in 1/64: 44 degrees
_CELL = 12288  # 3 px in 1/4096: a digit of 24 px
_SHIFT = 3  # px


@NAMED.add("tilted")
def open_tilted(request: DataRequest) -> DataSource:
    """The pictures, labelled by the columns that the task learns."""
    from sklearn.datasets import load_digits

    values, digits = load_digits(return_X_y=True)  # (1797, 64), 0..16
    n, draws = len(digits), Draws(_SEED)
    tangent = draws.between(-_TURN, _TURN, n)
    down, right = (SIDE_PX * 2048 + draws.between(-_SHIFT, _SHIFT, n) * 4096 for _ in "yx")
    places = DigitPlaces(centre_y=down, centre_x=right, cell=np.full(n, _CELL, np.int32), tangent=tangent)
    opacity = warp(values.astype(np.int32).reshape(-1, 8, 8), places) / 4096
    pixels = noisy(draws, paint(ground(draws, n), opacity, ink(draws, n)))
    tilts = [f"{2 * math.degrees(math.atan(t / 64)):.1f}" for t in tangent.tolist()]
    names = [f"tilted-{i:04d}" for i in range(n)]
    task = request.task
    columns = COLUMNS if task.columns else COLUMNS[1:] if task.many_columns else COLUMNS[:1]
    known = dict(zip(COLUMNS, (list(map(str, digits.tolist())), tilts), strict=True))
    cells = list(zip(*(known[c] for c in columns), strict=True))
    labels = task.read(LabelTable("tilted", columns, cells, names))
    listing = Listing(
        name="tilted",
        class_names=labels.names,
        in_channels=3,
        flip=False,
        names=tuple(names),
        labels=labels.values,
        given=split_digits(digits),
        sizes_bytes=np.full(n, SIDE_PX * SIDE_PX * 3, np.int64),
        task=labels.task or task,
    )
    return ArraySource(listing, pixels, SIDE_PX)
