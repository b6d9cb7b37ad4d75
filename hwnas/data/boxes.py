"""Boxes of images as rows: cut to what is seen of an image, and moved with it.

Rows are those of `hwnas.tasks.box_scores`; edges are shares of the side of a square image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.tasks.box_scores import COLUMNS, EMPTY, areas

BoxRows = npt.NDArray[np.float64]
"""(b, 6)."""

LEAST_SEEN = 0.25
"""Share of a box that has to be seen, for the rest of it to be an object."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows after a cut. gone: boxes of which nothing is seen. crowds: those that became crowds."""

    rows: BoxRows
    gone: int
    crowds: int


def cut(rows: BoxRows) -> Cut:
    """The rows inside the image. What is seen to less than a quarter is a crowd, which counts nowhere."""
    rows = rows.copy()
    before = areas(rows[:, 1:5])
    rows[:, 1:5] = np.clip(rows[:, 1:5], 0.0, 1.0)
    seen = areas(rows[:, 1:5]) / np.maximum(before, 1e-300)
    little = (seen < LEAST_SEEN) & (seen > 0) & (rows[:, 5] == 0)
    rows[little, 5] = 1
    return Cut(rows[seen > 0], int((seen <= 0).sum()), int(little.sum()))


def in_square(rows: BoxRows, width: int, height: int) -> Cut:
    """Rows of a whole image, by its sides, as rows of its central square, which `image.fit` cuts."""
    side = min(width, height)
    corner = np.array([(width - side) // 2, (height - side) // 2] * 2, np.float64)
    rows = rows.copy()
    rows[:, 1:5] = (rows[:, 1:5] * [width, height, width, height] - corner) / side
    return cut(rows)


def padded(images: Sequence[BoxRows]) -> npt.NDArray[np.float32]:
    """(n, m, 6): as many rows for each image, the rest empty."""
    most = max([1, *(len(rows) for rows in images)])
    out = np.zeros((len(images), most, COLUMNS), np.float32)
    out[..., 0] = EMPTY
    for place, rows in zip(out, images, strict=True):
        place[: len(rows)] = rows
    return out


def moved(
    boxes: npt.NDArray[np.float32], matrix: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """(b, m, 6) of images that were moved; a turned box becomes the one around it.

    matrix (b, 2, 2), shift (b, 2): from places in the new image to those in the old one, which run from -1
    to 1, across first, as `torch.nn.functional.affine_grid` has them.
    """
    corners = boxes[..., (1, 2, 3, 2, 1, 4, 3, 4)].astype(np.float64).reshape(*boxes.shape[:2], 4, 2) * 2 - 1
    back = np.linalg.inv(matrix)
    corners = np.einsum("bij,bmcj->bmci", back, corners - shift[:, None, None, :])
    corners = (corners + 1) / 2
    edges = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=2)
    out = np.zeros_like(boxes)
    out[..., 0] = EMPTY
    for place, rows, ends in zip(out, boxes, edges, strict=True):
        there = rows[:, 0] >= 0
        whole = np.concatenate([rows[there, :1], ends[there], rows[there, 5:]], axis=1)
        left = cut(whole).rows
        place[: len(left)] = left
    return out
