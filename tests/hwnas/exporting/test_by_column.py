"""Scores by the values of a column, against scipy's and scikit-learn's, and what is called far behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import mean_absolute_error

from hwnas.data.columns import EMPTY, Column
from hwnas.exporting.by_column import behind, by_column
from hwnas.exporting.onnx_score import OnnxScore
from hwnas.runs.verdict import verdict
from hwnas.tasks import REGRESSION


def answers(right: np.ndarray) -> OnnxScore:
    """Of a classifier of two classes that is right on these samples."""
    labels = np.zeros(len(right), np.int64)
    logits = np.where(right[:, None], [[1.0, 0.0]], [[0.0, 1.0]]).astype(np.float32)
    return OnnxScore(logits, labels)


def test_counts_and_wilson_intervals_are_those_of_scipy() -> None:
    right = np.array([1, 1, 1, 0, 1, 0, 0, 1, 1, 1], bool)
    column = Column.of("person", list("aaaabbbbbc"))
    (entry,) = by_column(answers(right), [column])
    assert (entry["column"], entry["metric"], entry["values"]) == ("person", "accuracy", 3)
    assert [row["value"] for row in entry["rows"]] == ["b", "a", "c"]  # 3/5, 3/4, 1/1
    for row, (k, n) in zip(entry["rows"], ((3, 5), (3, 4), (1, 1)), strict=True):
        proportion = binomtest(k, n).proportion_ci(method="wilson")
        assert row["score"] == k / n and row["images"] == n
        assert (row["low"], row["high"]) == pytest.approx((proportion.low, proportion.high))


def test_a_camera_that_fails_is_far_behind_and_the_verdict_names_it() -> None:
    rng = np.random.default_rng(0)
    right = np.concatenate([rng.random(400) < 0.95, rng.random(60) < 0.5])
    column = Column.of("camera", ["good"] * 200 + ["other"] * 200 + ["<b>old</b>"] * 60)
    entries = by_column(answers(right), [column])
    assert [row["value"] for _, row in behind(entries)] == ["<b>old</b>"]
    (finding,) = (f for f in verdict({"by_column": {"test": entries}}) if f.code == "far_behind")
    assert finding.level == "warn" and "<b>old</b>" in finding.sentence and "'camera'" in finding.sentence


def test_persons_that_differ_by_chance_only_are_not_called_behind() -> None:
    """Of columns of 30 persons that are all alike at most one in twenty may have one, by the level."""
    rng = np.random.default_rng(1)
    column = Column.of("person", [f"{i % 30}" for i in range(600)])
    false = [
        any(True for _ in behind(by_column(answers(rng.random(600) < 0.8), [column]))) for _ in range(120)
    ]
    assert np.mean(false) <= 0.05


def test_numbers_are_told_by_their_mean_absolute_error() -> None:
    """R² of a person with one age would be 0 whatever the answer."""
    rng = np.random.default_rng(2)
    ages = np.repeat([20.0, 40.0, 60.0], 50)[:, None].astype(np.float32)
    got = ages + rng.normal(0, np.repeat([1, 1, 6], 50)[:, None], (150, 1)).astype(np.float32)
    column = Column.of("person", ["ann"] * 50 + ["bob"] * 50 + ["eve"] * 50)
    (entry,) = by_column(OnnxScore(got, ages, REGRESSION.fitted(ages)), [column])
    rows: dict[str, Any] = {row["value"]: row for row in entry["rows"]}
    assert entry["rows"][0]["value"] == "eve" and entry["metric"] == "mae"
    for i, name in enumerate(("ann", "bob", "eve")):
        part = slice(50 * i, 50 * (i + 1))
        assert rows[name]["score"] == pytest.approx(mean_absolute_error(ages[part], got[part]))
        assert rows[name]["low"] < rows[name]["score"] < rows[name]["high"]
    assert [row["value"] for _, row in behind([entry])] == ["eve"]


def test_a_column_of_one_value_says_nothing_and_empty_cells_are_one() -> None:
    assert by_column(answers(np.ones(4, bool)), [Column.of("site", ["x"] * 4)]) == []
    (entry,) = by_column(answers(np.ones(4, bool)), [Column.of("site", ["x", "", "x", ""])])
    assert {row["value"] for row in entry["rows"]} == {"x", EMPTY}
