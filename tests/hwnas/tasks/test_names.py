"""The objective in the names of files: the word of the task outside, `accuracy` inside."""

from __future__ import annotations

import pytest

from hwnas.tasks import MULTI_LABEL, REGRESSION, TASKS, Task, inward, outward

DOCUMENT = {
    "objectives": ["val_accuracy", "latency_ms"],
    "points": [
        {"predicted": {"val_accuracy_search": 0.5}, "measured": {"fp32_test_accuracy": 1, "test_mae": 2}}
    ],
    "svc_test_accuracy": None,
    "sentence": "accuracy is the share of right answers",
}


def test_names_of_figures_and_of_objectives_change_and_texts_do_not() -> None:
    named = outward(DOCUMENT, REGRESSION)
    assert named["objectives"] == ["val_r2", "latency_ms"]
    assert named["points"][0] == {
        "predicted": {"val_r2_search": 0.5},
        "measured": {"fp32_test_r2": 1, "test_mae": 2},
    }
    assert "svc_test_r2" in named and named["sentence"] == DOCUMENT["sentence"]
    assert outward("val_accuracy", MULTI_LABEL) == "val_map"


@pytest.mark.parametrize("task", TASKS.parts.values(), ids=lambda task: task.name)
def test_there_and_back_is_the_same(task: Task) -> None:
    assert inward(outward(DOCUMENT, task), task) == DOCUMENT
