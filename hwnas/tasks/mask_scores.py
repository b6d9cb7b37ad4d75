"""Masks as values: which pixels count, what they are called wrongly, how they are coloured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .task import LabelArray

IGNORED = 255
"""Of pixels that are neither learned nor scored."""


def confusions(answers: LabelArray, labels: LabelArray, n_classes: int | None = None) -> NDArray[np.int64]:
    """(n, k, k): of each image how many pixels of a class (row) got an answer (column).

    answers, labels: (n, s, s). k: `n_classes`, or as many as there are in both.
    """
    counts = labels != IGNORED
    known = labels[counts]
    k = n_classes or 1 + max(int(answers.max(initial=0)), int(known.max(initial=0)))
    counted = np.zeros((len(labels), k, k), np.int64)
    for i in range(len(labels)):
        pairs = labels[i][counts[i]].astype(np.int64) * k + answers[i][counts[i]]
        counted[i] = np.bincount(pairs, minlength=k * k).reshape(k, k)
    return counted


def ious(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k,): of each class what is in both masks, over what is in one; NaN where it is in none."""
    both = confusion.diagonal()
    return shares(both, confusion.sum(axis=0) + confusion.sum(axis=1) - both)


def figures(confusion: NDArray[np.int64]) -> dict[str, float]:
    """`miou` and `pixel_acc`; 0 where no pixel counts."""
    each = ious(confusion)
    known = each[~np.isnan(each)]
    total = int(confusion.sum())
    return {
        "miou": float(known.mean()) if len(known) else 0.0,
        "pixel_acc": float(confusion.diagonal().sum() / total) if total else 0.0,
    }


def palette() -> NDArray[np.uint8]:
    """(256, 3): the colours of PASCAL VOC, by spreading the bits of a number over red, green and blue."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def shares(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Part / whole; NaN where there is none of it."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
