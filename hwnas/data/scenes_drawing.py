"""The pixels of `scenes`: digits warped, coloured and laid over a shaded ground, in integers alone.

The same on every machine: the random numbers are made of the raw bits of PCG64, which numpy promises to
keep (`Generator` may change what it makes of them), and nothing is computed in floating point. Turns are
rational: with t = tan(angle / 2), cos = (1 - t²) / (1 + t²) and sin = 2t / (1 + t²).

Pixels, cells of a digit and opacities are counted in 1/4096.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE_PX = 32
FRAGMENTS = 4
"""Fragments of other digits in each scene."""
CHUNK = 64
"""Scenes that are drawn at a time, so that they stay in the cache of the CPU."""

_BITS = 12
_UNIT = 1 << _BITS
_TANGENT_UNIT = 64  # t is counted in 1/64
_DIGIT_PX = (18, 28)  # the side of a digit, at least and at most
_DIGIT_TURN = 4  # of t: ± 7 degrees
_INK_ABOVE_GROUND = 80  # how much lighter an ink is than the ground, of 255
_GROUND = 100  # the lightest channel of a ground, before its corners are shaded
_SHADE = 40  # how much a corner may differ
_NOISE = 12  # per pixel and channel
_PATCH = 2  # the side of a fragment in cells

Ints = npt.NDArray[np.int32]
Strokes = npt.NDArray[np.int32]
"""Digits (n, 8, 8), 0..16."""


class Draws:
    """Whole numbers that are uniform; `seed` names the stream."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def below(self, limit: int, *shape: int) -> Ints:
        """In 0 .. limit - 1, for limits below 2^31."""
        raw = self._bits.random_raw(int(np.prod(shape))).reshape(shape)
        return ((raw >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int32)

    def between(self, low: int, high: int, *shape: int) -> Ints:
        """In low .. high."""
        return low + self.below(high - low + 1, *shape)


def draw_scenes(draws: Draws, digits: Strokes, others: Strokes) -> npt.NDArray[np.uint8]:
    """A scene of each digit, (n, 32, 32, 3).

    others: (n, FRAGMENTS, 8, 8), what the fragments are cut from.
    """
    n = len(digits)
    ground = draws.between(0, _GROUND, n, 3)
    image = _shaded(np.clip(ground[:, None] + draws.between(-_SHADE, _SHADE, n, 4, 3), 0, 255))
    for number in range(FRAGMENTS):
        image = _paint(image, _fragment(draws, others[:, number]), _ink(draws, ground))
    image = _paint(image, _digit(draws, digits), _ink(draws, ground))
    noise = draws.between(-_NOISE, _NOISE, n, SIDE_PX, SIDE_PX, 3)
    pixels: npt.NDArray[np.uint8] = np.clip(image + noise, 0, 255).astype(np.uint8)
    return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitPlaces:
    """Where n digits lie.

    centre_y, centre_x: in pixels.
    cell: pixels per cell.
    tangent: of half the angle.
    """

    centre_y: Ints
    centre_x: Ints
    cell: Ints
    tangent: Ints


def _digit(draws: Draws, digits: Strokes) -> Ints:
    """Opacities of digits that lie inside their scene."""
    n = len(digits)
    side = draws.between(_DIGIT_PX[0] * _UNIT, _DIGIT_PX[1] * _UNIT, n)
    room = (SIDE_PX * _UNIT - side) >> 6  # steps of 1/64 px
    centre_y, centre_x = (side // 2 + (room * draws.below(1 << 12, n) >> 12 << 6) for _ in "yx")
    tangent = draws.between(-_DIGIT_TURN, _DIGIT_TURN, n)
    return warp(digits, DigitPlaces(centre_y=centre_y, centre_x=centre_x, cell=side // 8, tangent=tangent))


def _fragment(draws: Draws, others: Strokes) -> Ints:
    """Opacities of a piece of each digit, turned any way, anywhere."""
    n = len(others)
    corner = draws.between(1, 7 - _PATCH, n, 2)
    cells = np.arange(_PATCH)
    rows, columns = (corner[:, axis, None] + cells for axis in (0, 1))
    pieces = np.zeros_like(others)
    first = 4 - _PATCH // 2
    middle = slice(first, first + _PATCH)
    pieces[:, middle, middle] = others[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None]]
    side = draws.between(_DIGIT_PX[0] * _UNIT, _DIGIT_PX[1] * _UNIT, n)
    centre_y, centre_x = (draws.below(SIDE_PX * _UNIT, n) for _ in "yx")
    tangent = draws.between(-_TANGENT_UNIT, _TANGENT_UNIT, n)
    return warp(pieces, DigitPlaces(centre_y=centre_y, centre_x=centre_x, cell=side // 8, tangent=tangent))


def warp(strokes: Strokes, places: DigitPlaces) -> Ints:
    """Opacities (n, 32, 32): bilinear between the cells, with edges sharpened."""
    t, unit = places.tangent, _TANGENT_UNIT
    cos, sin = ((unit**2 - t**2) * _UNIT // (unit**2 + t**2), 2 * unit * t * _UNIT // (unit**2 + t**2))
    middles = np.arange(SIDE_PX, dtype=np.int32) * _UNIT + _UNIT // 2
    down = (middles - places.centre_y[:, None])[:, :, None]
    right = (middles - places.centre_x[:, None])[:, None, :]
    cell, cos, sin = (value[:, None, None] for value in (places.cell, cos, sin))
    y = (cos * down + sin * right) // cell + 4 * _UNIT + _UNIT // 2  # 0 is the blank row above the first cell
    x = (cos * right - sin * down) // cell + 4 * _UNIT + _UNIT // 2
    padded = np.zeros((len(strokes), 10, 10), np.int32)
    padded[:, 1:9, 1:9] = strokes
    inside = (y >= 0) & (y < 9 * _UNIT) & (x >= 0) & (x < 9 * _UNIT)
    row, column = np.clip(y >> _BITS, 0, 8), np.clip(x >> _BITS, 0, 8)
    below, beside = y & (_UNIT - 1), x & (_UNIT - 1)
    place = np.arange(len(strokes), dtype=np.int32)[:, None, None] * 100 + row * 10 + column
    cells = padded.ravel()
    upper = cells[place] * (_UNIT - beside) + cells[place + 1] * beside
    lower = cells[place + 10] * (_UNIT - beside) + cells[place + 11] * beside
    # A cell has 16 levels; shifting in two steps keeps the product in 31 bits.
    level = ((upper >> 4) * (_UNIT - below) + (lower >> 4) * below) >> _BITS
    return np.where(inside, np.clip((level - _UNIT // 4) * 3 // 2, 0, _UNIT), 0)


def _shaded(corners: Ints) -> Ints:
    """(n, 32, 32, 3), bilinear between the colours of the corners (n, 4, 3)."""
    last = SIDE_PX - 1
    line = np.arange(SIDE_PX, dtype=np.int32)
    weights = [a[:, None] * b for a in (last - line, line) for b in (last - line, line)]
    image = np.zeros((len(corners), SIDE_PX, SIDE_PX, corners.shape[-1]), np.int32)
    for number, weight in enumerate(weights):
        image += corners[:, number, None, None] * weight[:, :, None]
    shaded: Ints = image // last**2
    return shaded


def _luminance(colours: Ints) -> Ints:
    luminance: Ints = (2 * colours[..., 0] + 5 * colours[..., 1] + colours[..., 2]) // 8
    return luminance


def _ink(draws: Draws, ground: Ints) -> Ints:
    """A colour per scene, (n, 3), lighter than its ground."""
    colours = draws.between(0, 255, len(ground), 3)
    least = _luminance(ground) + _INK_ABOVE_GROUND
    wanted = least + ((256 - least) * draws.below(1 << 12, len(ground)) >> 12)
    inks: Ints = np.clip(colours + (wanted - _luminance(colours))[:, None], 0, 255)
    return inks


def _paint(image: Ints, opacity: Ints, ink: Ints) -> Ints:
    covered = opacity[..., None]
    painted: Ints = (image * (_UNIT - covered) + ink[:, None, None] * covered) >> _BITS
    return painted
