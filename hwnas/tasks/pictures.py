"""Pictures for people: an image beside what its label and the answer of a network say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mask_scores import palette

Picture = NDArray[np.uint8]
"""(3, h, w)."""


def in_colour(image: NDArray[np.uint8]) -> Picture:
    """An image (c, h, w), grey or not, with three channels."""
    return np.broadcast_to(image, (3, *image.shape[1:])) if len(image) == 1 else image


def of_mask(mask: NDArray[Any]) -> Picture:
    """A mask (h, w) in the colours of `palette`."""
    colours: Picture = palette()[np.asarray(mask)].transpose(2, 0, 1)
    return colours


def with_boxes(image: Picture, rows: NDArray[np.float64]) -> Picture:
    """A line of one pixel around each box (b, 6), in the colour of its class; crowds in grey."""
    out, colours = image.copy(), palette()
    for row in rows:
        colour = np.array([128, 128, 128]) if row[5] == 1 else colours[1 + int(row[0]) % 254]
        low = np.floor(row[1:3] * image.shape[2]).astype(int)
        high = np.maximum(np.ceil(row[3:5] * image.shape[2]).astype(int) - 1, low)
        (left, top), (right, bottom) = low.tolist(), high.tolist()
        box = out[:, top : bottom + 1, left : right + 1]
        for line in (box[:, :1], box[:, -1:], box[:, :, :1], box[:, :, -1:]):
            line[:] = colour[:, None, None]
    return out


def side_by_side(first: Picture, *others: Picture) -> Picture:
    """Pictures of one size with white gaps between them."""
    gap = np.full((3, first.shape[1], max(1, first.shape[2] // 24)), 255, np.uint8)
    return np.concatenate([first, *(part for other in others for part in (gap, other))], axis=2)
