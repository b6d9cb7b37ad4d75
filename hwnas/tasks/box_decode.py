"""From what a detector's file gives to boxes: scores, peaks, and of boxes that cover one another the surest.

An output (4 + k, cells) has a column for each cell of two square grids, the finer first, each row by row: the
logarithms of the distances to the left, upper, right and lower edge, in cells, and the logits of the classes.
The coarser grid has half as many cells to a side. Programs that are exported do the same.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.networks.box_head import EDGES

from .box_scores import COLUMNS, EMPTY, MOST_ANSWERS, BoxReals, areas, overlaps
from .task import Answers, LabelArray

LEAST_SCORE = 0.05
"""Of an answer, as FCOS has it (Tian et al. 2019, section 4)."""
MOST_OVERLAP = 0.6
"""IoU above which the less sure of two boxes of a class is dropped, as FCOS has it."""
MOST_PEAKS = 400
"""Boxes of an image that are compared with one another, the surest."""
MOST_LOG = 5.0
"""Distances above e^5 = 148 cells are cut to it."""


@cache
def sides_of(cells: int) -> tuple[int, int]:
    """Sides of both grids of so many cells in all: 80 is 8 x 8 and 4 x 4.

    >>> sides_of(80), sides_of(13)
    ((8, 4), (3, 2))
    """
    fine = next(side for side in range(math.isqrt(cells) + 1) if side**2 + (-(-side // 2)) ** 2 >= cells)
    sides = (fine, -(-fine // 2))
    if sum(side**2 for side in sides) != cells:
        raise ValueError(f"{cells} cells are no two grids of which one has half the side of the other")
    return sides


@cache
def grid(cells: int) -> BoxReals:
    """(cells, 3): centre of each cell across and down, and its side, as shares of the image."""
    parts = []
    for side in sides_of(cells):
        line = (np.arange(side) + 0.5) / side
        down, across = np.meshgrid(line, line, indexing="ij")
        parts.append(np.stack([across.ravel(), down.ravel(), np.full(side**2, 1 / side)], axis=1))
    return np.concatenate(parts)


def decoded(outputs: Answers) -> LabelArray:
    """(n, 100, 6) answers of outputs (n, 4 + k, cells)."""
    answers = np.zeros((len(outputs), MOST_ANSWERS, COLUMNS), np.float32)
    answers[..., 0] = EMPTY
    for i in range(len(outputs)):
        rows = _boxes(outputs[i])
        answers[i, : len(rows)] = rows
    return answers


def _boxes(output: NDArray[Any]) -> BoxReals:
    """(b, 6), the surest first."""
    scores = 1 / (1 + np.exp(-np.clip(output[EDGES:].astype(np.float64), -60, 60)))
    classes, cells = np.nonzero(scores > LEAST_SCORE)
    found = scores[classes, cells]
    first = np.argsort(-found, kind="stable")[:MOST_PEAKS]
    classes, cells, found = classes[first], cells[first], found[first]
    centre = grid(output.shape[1])[cells]
    reach = np.exp(np.minimum(output[:EDGES, cells].astype(np.float64).T, MOST_LOG)) * centre[:, 2:]
    edges = np.concatenate([centre[:, :2] - reach[:, :2], centre[:, :2] + reach[:, 2:]], axis=1)
    edges = np.clip(edges, 0.0, 1.0)
    kept = without_copies(edges, classes)
    return np.concatenate([classes[kept, None], edges[kept], found[kept, None]], axis=1)


def without_copies(edges: BoxReals, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of those that no surer one of their class covers (non-maximum suppression), at most 100.

    edges: (b, 4), the surest first.
    """
    covers = (overlaps(edges, edges) > MOST_OVERLAP) & (classes[:, None] == classes[None, :])
    left = areas(edges) > 0
    kept: list[int] = []
    for i in range(len(edges)):
        if left[i]:
            kept.append(i)
            if len(kept) == MOST_ANSWERS:
                break
            left &= ~covers[i]
    return np.array(kept, np.int64)
