"""`shapes` and `gauges`: small colour pictures for tags and for numbers; need no file and no network.

A picture of `shapes` holds each of five shapes with probability 0.4, over one another and of any colour; its
tags are their names. One of `gauges` holds a dial and a bar; its targets are the angle of the needle in
degrees, 0 to 270 clockwise from the left below, and the level of the bar in percent.

The random numbers are whole and the same on every machine; what is drawn from them is computed in floating
point and rounded to 256 levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.tasks import MULTI_LABEL, REGRESSION, Labels, Task

from .arrays import ArraySource
from .scenes_drawing import Draws
from .source import NAMED, TRAIN, DataRequest, DataSource, Listing

SIDE_PX = 32
N_PICTURES = 1500
SHAPES = ("circle", "cross", "ring", "square", "triangle")
TARGETS = ("angle_degrees", "level_percent")

_SHARE = 40  # percent of the pictures that hold a shape
_NOISE = 14
_SEED = 2718
_UNIT = 1000

Reals = npt.NDArray[np.float64]
Plane = Reals
"""(n, SIDE_PX, SIDE_PX)."""


@NAMED.add("shapes")
def open_shapes(request: DataRequest) -> DataSource:
    """The pictures with tags."""
    draws = Draws(_SEED, 1)
    there = draws.below(100, N_PICTURES, len(SHAPES)) < _SHARE
    labels = Labels(SHAPES, there.astype(np.float32))
    return _source("shapes", MULTI_LABEL, labels, draw_shapes(draws, there), flip=True)


@NAMED.add("gauges")
def open_gauges(request: DataRequest) -> DataSource:
    """The pictures with numbers."""
    draws = Draws(_SEED, 2)
    angle, level = draws.between(0, 270, N_PICTURES), draws.between(0, 100, N_PICTURES)
    labels = Labels(TARGETS, np.stack([angle, level], axis=1).astype(np.float32))
    return _source("gauges", REGRESSION, labels, draw_gauges(draws, angle, level), flip=False)


def _source(
    name: str, task: Task, labels: Labels, pixels: npt.NDArray[np.uint8], *, flip: bool
) -> ArraySource:
    n = len(pixels)
    listing = Listing(
        name=name,
        class_names=labels.names,
        in_channels=3,
        flip=flip,
        names=tuple(f"{name}-{index:04d}" for index in range(n)),
        labels=labels.values,
        given=np.full(n, TRAIN, np.int8),
        sizes_bytes=np.full(n, SIDE_PX * SIDE_PX * 3, np.int64),
        task=task,
    )
    return ArraySource(listing, pixels, SIDE_PX)


def draw_shapes(draws: Draws, there: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """(n, 32, 32, 3) of what is there, (n, 5)."""
    image = ground(draws, len(there))
    order = np.argsort(draws.below(1 << 30, *there.shape), axis=1, kind="stable")
    for place in range(len(SHAPES)):
        kinds = order[:, place]
        y, x = (draws.between(8 * _UNIT, 24 * _UNIT, len(there)) / _UNIT for _ in range(2))
        radius = draws.between(4 * _UNIT, 7 * _UNIT, len(there)) / _UNIT
        mask = cover_of(kinds, there[np.arange(len(there)), kinds], y, x, radius)
        image = paint(image, mask, ink(draws, len(there)))
    return noisy(draws, image)


def draw_gauges(
    draws: Draws, angle: npt.NDArray[np.int32], level: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint8]:
    """(n, 32, 32, 3). angle: of the needle in degrees. level: of the bar in percent."""
    n = len(angle)
    image = ground(draws, n)
    # Anywhere: of a dial in one place, a linear model of the pixels reads the needle (R² 0.99).
    y = draws.between(8 * _UNIT, 24 * _UNIT, n) / _UNIT
    x = draws.between(8 * _UNIT, 19 * _UNIT, n) / _UNIT
    down, right = grid(y, x)
    image = paint(image, inside(7.5 - np.hypot(down, right)), ink(draws, n))
    turn = np.deg2rad(225.0 - angle)[:, None, None]  # 0 points to the left below
    along, across = right * np.cos(turn) - down * np.sin(turn), right * np.sin(turn) + down * np.cos(turn)
    needle = np.minimum(np.minimum(along + 1, 6.5 - along), 1.1 - np.abs(across))
    image = paint(image, inside(needle), np.zeros((n, 3)))
    line = np.arange(SIDE_PX) + 0.5
    column = inside(2.0 - np.abs(line - 29))[None, None, :]
    filled = inside(line[None, :] - (30 - 28 * level[:, None] / 100))[:, :, None]
    image = paint(image, np.broadcast_to(column, (n, SIDE_PX, SIDE_PX)), np.zeros((n, 3)))
    return noisy(draws, paint(image, column * filled, np.full((n, 3), 235.0)))


def ground(draws: Draws, n: int) -> Reals:
    """One colour per picture, (n, 32, 32, 3)."""
    colour = draws.between(0, 110, n, 3)[:, None, None, :]
    return np.broadcast_to(colour, (n, SIDE_PX, SIDE_PX, 3)).astype(np.float64)


def ink(draws: Draws, n: int) -> Reals:
    """A light colour per picture, (n, 3)."""
    return draws.between(140, 255, n, 3).astype(np.float64)


def grid(y: Reals, x: Reals) -> tuple[Plane, Plane]:
    """Pixels down and to the right of each centre."""
    line = np.arange(SIDE_PX) + 0.5
    shape = (len(y), SIDE_PX, SIDE_PX)
    down = np.broadcast_to((line - y[:, None])[:, :, None], shape)
    return down, np.broadcast_to((line - x[:, None])[:, None, :], shape)


def cover_of(
    kinds: npt.NDArray[np.int64], there: npt.NDArray[np.bool_], y: Reals, x: Reals, radius: Reals
) -> Plane:
    """How much of each pixel a shape covers; nothing where none is there. All (n,). kinds: of SHAPES."""
    cover = np.zeros((len(kinds), SIDE_PX, SIDE_PX))
    for kind in range(len(SHAPES)):
        chosen = np.flatnonzero((kinds == kind) & there)
        cover[chosen] = shape_of_kind(kind, y[chosen], x[chosen], radius[chosen])
    return cover


def shape_of_kind(kind: int, y: Reals, x: Reals, r: Reals) -> Plane:
    """How much of each pixel one of SHAPES covers."""
    down, right = grid(y, x)
    r = r[:, None, None]
    distance, tall, wide = np.hypot(down, right), np.abs(down), np.abs(right)
    insides = (
        lambda: r - distance,
        lambda: np.maximum(np.minimum(r - tall, r / 3 - wide), np.minimum(r - wide, r / 3 - tall)),
        lambda: r / 3 - np.abs(distance - 0.8 * r),
        lambda: 0.85 * r - np.maximum(tall, wide),
        lambda: np.minimum(r / 2 - down, (down + r) / 2 - wide),
    )
    return inside(insides[kind]())


def inside(distance: Reals) -> Reals:
    """The covered share of a pixel that lies so far within an edge."""
    return np.clip(distance + 0.5, 0.0, 1.0)


def paint(image: Reals, mask: Plane, ink: Reals) -> Reals:
    """The image with the ink where the mask is."""
    share = mask[..., None]
    return image * (1 - share) + ink[:, None, None, :] * share


def noisy(draws: Draws, image: Reals) -> npt.NDArray[np.uint8]:
    """With noise, rounded to 256 levels."""
    noise = draws.between(-_NOISE, _NOISE, *image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
