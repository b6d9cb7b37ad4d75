"""Accuracy by class, confusion and calibration error against hand calculation and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from hwnas.tasks.class_quality import calibration_error, quality_of, worst_confusions


def test_confusion_is_that_of_scikit_learn_and_accuracy_by_class_its_diagonal() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((200, 4)).astype(np.float32), rng.integers(0, 4, 200)
    quality = quality_of(logits, labels, "abcd", probabilities=False)
    expected = confusion_matrix(labels, logits.argmax(1), labels=range(4))
    assert quality["confusion"] == expected.tolist()
    shares = expected.diagonal() / expected.sum(1)
    assert [row["accuracy"] for row in quality["by_class"]] == pytest.approx(shares.tolist())
    (first, *_) = worst_confusions(quality)
    off = expected - np.diag(expected.diagonal())
    assert first[2] == off.max()


def test_the_calibration_error_by_hand() -> None:
    # Four answers of 0.9, of which two are right: |0.5 - 0.9|. Six of 0.6, all right: |1 - 0.6|.
    probs = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 6)
    labels = np.array([0, 0, 1, 1] + [0] * 6)
    assert calibration_error(probs, labels) == pytest.approx(0.4 * 0.4 + 0.6 * 0.4)


def test_a_class_without_images_has_no_accuracy() -> None:
    logits = np.array([[1.0, 0.0]], np.float32)
    rows = quality_of(logits, np.array([0]), ["here", "gone"], probabilities=False)["by_class"]
    assert [row["accuracy"] for row in rows] == [1.0, None]
