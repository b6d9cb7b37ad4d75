"""Boxes as values: what overlaps, which answers are right, and average precision by COCO's definition [1].

Labels and answers are rows of six numbers, `(class, left, top, right, bottom, last)`: edges are shares of the
side of the square image, and `last` is 1 for the label of a crowd, or the score of an answer. Rows of class
-1 are empty; images have equally many rows.

[1] Lin et al. 2014, Microsoft COCO; the reference is `pycocotools.cocoeval`, with all areas and 100 answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .task import LabelArray

COLUMNS = 6
EMPTY = -1
"""The class of a row that is no box."""
MOST_ANSWERS = 100
"""Boxes that an image is answered with at most, as COCO counts them."""
SURE = 0.3
"""Score from which a box is shown to people, and counts as found or as a false alarm."""

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which an answer is right."""
_RECALLS = np.linspace(0.0, 1.0, 101)

BoxReals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The answers of one class, the surest first, and how many objects there are.

    image: (d,), of each answer. scores: (d,). right, counts: (d, t), by threshold; an answer that fits a
    crowd counts nowhere. objects: (n,), of each image, crowds left out.
    """

    image: NDArray[np.int64]
    scores: BoxReals
    right: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    objects: NDArray[np.int64]

    def precision(self, weights: BoxReals) -> BoxReals:
        """(t,): average precision, NaN without objects. weights: (n,), how often an image counts."""
        objects = float(weights @ self.objects)
        if not objects:
            return np.full(len(THRESHOLDS), np.nan)
        each = weights[self.image][:, None]
        right = np.cumsum(each * (self.right & self.counts), axis=0)
        wrong = np.cumsum(each * (~self.right & self.counts), axis=0)
        precision = right / (right + wrong + np.spacing(1))
        envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        means = np.zeros(len(THRESHOLDS))
        for t in range(len(THRESHOLDS)):
            places = np.searchsorted(right[:, t] / objects, _RECALLS, side="left")
            means[t] = envelope[places[places < len(right)], t].sum() / len(_RECALLS)
        return means


@dataclass(frozen=True, eq=False)
class Matches:
    """How answers fit labels. classes: by their number. n_images: of both."""

    classes: tuple[ClassMatches, ...]
    n_images: int

    def precisions(self, weights: BoxReals | None = None) -> BoxReals:
        """(k, t): average precision of each class at each threshold."""
        if weights is None:
            weights = np.ones(self.n_images)
        rows = [each.precision(weights) for each in self.classes]
        return np.array(rows).reshape(len(rows), len(THRESHOLDS))

    def figures(self, weights: BoxReals | None = None) -> dict[str, float]:
        """`map`: mean over the classes that have objects and the thresholds; `map50`: at the first."""
        each = self.precisions(weights)
        known = each[~np.isnan(each).any(axis=1)]
        return {
            "map": float(known.mean()) if len(known) else 0.0,
            "map50": float(known[:, 0].mean()) if len(known) else 0.0,
        }

    def scorer(self) -> Callable[[NDArray[np.int64]], float]:
        """`map` of the images at some places, which may come twice."""
        return lambda places: self.figures(np.bincount(places, minlength=self.n_images).astype(float))["map"]


def matched(answers: LabelArray, labels: LabelArray, n_classes: int | None = None) -> Matches:
    """Each answer with the object that it overlaps most, the surest first. (n, a, 6) and (n, m, 6)."""
    k = n_classes or 1 + int(max(answers[..., 0].max(initial=EMPTY), labels[..., 0].max(initial=EMPTY)))
    parts: list[list[_Part]] = [[] for _ in range(k)]
    objects = np.zeros((k, len(labels)), np.int64)
    for i in range(len(labels)):
        told, true = rows_of(answers[i]), rows_of(labels[i])
        told = told[np.argsort(-told[:, 5], kind="stable")][:MOST_ANSWERS]
        for c in np.unique(np.concatenate([told[:, 0], true[:, 0]])).astype(int).tolist():
            mine, theirs = told[told[:, 0] == c], true[true[:, 0] == c]
            objects[c, i] = int((theirs[:, 5] == 0).sum())
            if len(mine):
                parts[c].append(_Part(i, mine[:, 5], *_fits(mine, theirs)))
    return Matches(tuple(_joined(parts[c], objects[c]) for c in range(k)), len(labels))


def rows_of(boxes: NDArray[Any]) -> BoxReals:
    """(b, 6): those rows of an image that are boxes."""
    return boxes[boxes[:, 0] >= 0].astype(np.float64)


def overlaps(boxes: BoxReals, others: BoxReals, crowd: NDArray[np.bool_] | None = None) -> BoxReals:
    """(a, b): intersection over union of edges (a, 4) and (b, 4).

    crowd: (b,), where the share of the first box that lies inside is taken instead, as COCO does.
    """
    low, high = (
        np.maximum(boxes[:, None, :2], others[None, :, :2]),
        np.minimum(boxes[:, None, 2:], others[None, :, 2:]),
    )
    both = np.prod(np.maximum(high - low, 0), axis=2)
    first, second = areas(boxes)[:, None], areas(others)[None, :]
    whole = first + second - both
    if crowd is not None:
        whole = np.where(crowd[None, :], first, whole)
    shares: BoxReals = both / np.maximum(whole, 1e-300)
    return shares


def areas(boxes: BoxReals) -> BoxReals:
    """(b,) of edges (b, 4)."""
    sides: BoxReals = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


@dataclass(frozen=True, eq=False)
class _Part:
    """The answers of one class on one image."""

    image: int
    scores: BoxReals
    right: NDArray[np.bool_]
    counts: NDArray[np.bool_]


def _joined(parts: list[_Part], objects: NDArray[np.int64]) -> ClassMatches:
    if not parts:
        none = np.zeros((0, len(THRESHOLDS)), bool)
        return ClassMatches(np.zeros(0, np.int64), np.zeros(0), none, none, objects)
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind="stable")  # ties in the order of the images, as COCO has them
    image = np.concatenate([np.full(len(part.scores), part.image) for part in parts])
    right, counts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("right", "counts"))
    return ClassMatches(image[order].astype(np.int64), scores[order], right[order], counts[order], objects)


def _fits(mine: BoxReals, theirs: BoxReals) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(d, t) twice: whether an answer is right, and whether it counts. mine: the surest first.

    An answer takes the free object that it overlaps most, of equal ones the last; where there is none, it
    fits a crowd, of which several answers may be part.
    """
    right, counts = np.zeros((len(mine), len(THRESHOLDS)), bool), np.ones((len(mine), len(THRESHOLDS)), bool)
    theirs = theirs[np.argsort(theirs[:, 5], kind="stable")]
    crowd = theirs[:, 5] > 0
    m = int((~crowd).sum())
    iou = overlaps(mine[:, 1:5], theirs[:, 1:5], crowd)
    free = np.ones((len(THRESHOLDS), m), bool)
    every = np.arange(len(THRESHOLDS))
    for d in np.flatnonzero(iou.max(axis=1, initial=0.0) >= THRESHOLDS[0]).tolist():
        if m:
            left = np.where(free, iou[d, :m], -1.0)
            place = m - 1 - left[:, ::-1].argmax(axis=1)
            right[d] = left[every, place] >= THRESHOLDS
            free[every[right[d]], place[right[d]]] = False
        if m < len(theirs):
            counts[d] = right[d] | (iou[d, m:].max() < THRESHOLDS)
    return right, counts
