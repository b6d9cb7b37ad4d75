"""How good a classifier is by class, what it mixes up, and whether its probabilities are to be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CONFUSIONS = 400
"""Pairs of classes that are kept, the most frequent first."""
_BINS = 15

Logits = NDArray[np.floating[Any]]
"""(n, n_classes)."""
ClassNumbers = NDArray[np.int64]
"""(n,)."""


def quality_of(
    logits: Logits, labels: ClassNumbers, class_names: Sequence[str], *, probabilities: bool
) -> dict[str, Any]:
    """Accuracy by class, confusion and calibration error of some samples, as JSON values.

    probabilities: whether `logits` are those already.
    """
    confusion = _counts(logits, labels, len(class_names))
    images = confusion.sum(1)
    right = confusion.diagonal()
    return {
        "by_class": [
            {
                "class": name,
                "images": int(images[i]),
                "accuracy": float(right[i] / images[i]) if images[i] else None,
            }
            for i, name in enumerate(class_names)
        ],
        "confusion": confusion.tolist(),
        "calibration_error": calibration_error(logits if probabilities else softmax(logits), labels),
    }


def top_share(logits: Logits, labels: ClassNumbers, k: int) -> float:
    """The share of samples with fewer than `k` classes above the true one; equal ones in their order.

    >>> top_share(np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]), np.array([1, 2]), 2)
    0.5
    """
    true = np.take_along_axis(logits, labels[:, None], axis=1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    above = (logits > true) | ((logits == true) & before)
    return float((above.sum(axis=1) < k).mean())


def likelihood(logits: Logits, labels: ClassNumbers) -> float:
    """exp(-log loss): the probability of the true class, in the geometric mean of the samples."""
    exact = logits.astype(np.float64)
    largest = exact.max(axis=1)
    log_sum = largest + np.log(np.exp(exact - largest[:, None]).sum(axis=1))
    true = np.take_along_axis(exact, labels[:, None], axis=1)[:, 0]
    return float(np.exp((true - log_sum).mean()))


def calibration_error(probs: Logits, labels: ClassNumbers) -> float:
    """Expected calibration error. probs: (n, n_classes); labels: (n,).

    Guo et al. 2017, equation 3: the mean of |accuracy - confidence| over 15 bins of equal width, by their
    share of the samples.
    """
    confidence = probs.max(1)
    right = probs.argmax(1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    total = 0.0
    for each in np.unique(bins):
        inside = bins == each
        total += float(inside.mean() * abs(right[inside].mean() - confidence[inside].mean()))
    return total


def softmax(logits: Logits) -> NDArray[np.float64]:
    """Probabilities (n, n_classes)."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    powers = np.exp(shifted)
    out: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return out


def worst_confusions(quality: Mapping[str, Any], most: int = 5) -> list[tuple[str, str, int]]:
    """(true class, taken for, images), the most frequent first."""
    names = [row["class"] for row in quality["by_class"]]
    confusion = quality["confusion"]
    pairs = [
        (names[i], names[j], confusion[i][j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j and confusion[i][j]
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:most]


def confusion(logits: Logits, labels: ClassNumbers, class_names: Sequence[str]) -> dict[str, Any]:
    """Images and right answers per class; pairs of classes that were taken for one another; calibration."""
    n = len(class_names)
    counts = _counts(logits, labels, n)
    wrong = counts - np.diag(np.diag(counts))
    pairs = np.argsort(-wrong, axis=None, kind="stable")[: int((wrong > 0).sum())]
    return {
        "classes": [
            {"name": name, "n": int(counts[i].sum()), "right": int(counts[i, i])}
            for i, name in enumerate(class_names)
        ],
        "confusions": [
            {"label": class_names[p // n], "answer": class_names[p % n], "n": int(wrong.flat[p])}
            for p in pairs.tolist()[:MOST_CONFUSIONS]
        ],
        "calibration_error": calibration_error(softmax(logits), labels),
    }


def sureness(logits: Logits) -> list[float]:
    """The probability that the network gives its answer, per image."""
    shares: list[float] = softmax(logits).max(1).tolist()
    return shares


def wrong_first(logits: Logits, labels: ClassNumbers) -> ClassNumbers:
    """The places of the wrong answers, the surest first."""
    order = np.argsort(-np.array(sureness(logits)), kind="stable")
    places: ClassNumbers = order[(logits.argmax(1) != labels)[order]].astype(np.int64)
    return places


def _counts(logits: Logits, labels: ClassNumbers, n: int) -> NDArray[np.int64]:
    """(n, n): images by class and answer."""
    counts = np.zeros((n, n), np.int64)
    np.add.at(counts, (labels, logits.argmax(1)), 1)
    return counts
