"""How good a file is class by class, and whether its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_score import LogitArray, OnnxScore

_BINS = 15


def quality_of(score: OnnxScore, class_names: Sequence[str], *, probabilities: bool) -> dict[str, Any]:
    """Accuracy by class, confusion and calibration error on the samples of `score`, as JSON values.

    probabilities: whether the outputs are those already, not logits.
    """
    n = len(class_names)
    confusion = np.zeros((n, n), np.int64)
    np.add.at(confusion, (score.labels, score.predicted), 1)
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
        "calibration_error": calibration_error(
            score.logits if probabilities else softmax(score.logits), score.labels
        ),
    }


def calibration_error(probs: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
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


def softmax(logits: LogitArray) -> NDArray[np.float64]:
    """Probabilities (n, n_classes)."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    powers = np.exp(shifted)
    out: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return out


def worst_confusions(quality: dict[str, Any], most: int = 5) -> list[tuple[str, str, int]]:
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
