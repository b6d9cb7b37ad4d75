"""Which of the scores of a task a search goes by: the objective that evaluations find out.

Inside it is called `val_accuracy`, as that of every task. Trainings tell all scores, and the store keeps
them, so that a search by another one trains nothing again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwnas.runs.config import SearchConfig
from hwnas.tasks import Task, task_named

if TYPE_CHECKING:
    from hwnas.data import Data

_SCORES = {"val_top5_accuracy": "val_top5", "val_loss": "val_likelihood"}
"""Names that tables of known results have, and what trainings tell for them.

The likelihood is exp(-log loss), a share that grows where the loss falls.
"""


def asked_score(objective: str) -> str:
    """The score that an objective names.

    >>> asked_score("val_top5_accuracy"), asked_score("val_r2")
    ('top5', 'r2')
    """
    return _SCORES.get(objective, objective).removeprefix("val_")


def task_of(config: SearchConfig) -> Task:
    """What is learned, by the first of its scores that is an objective; by its own where none is."""
    task, asked = task_named(config.task), [asked_score(o) for o in config.objectives]
    own = task.metric.name
    return task.scored_by(next((score for score in (own, *task.scores) if score in asked), own))


def score_name(task: Task) -> str:
    """What trainings call the score that a task goes by; its own is `accuracy`."""
    return task.name.partition("@")[2] or "accuracy"


def scored(data: Data, config: SearchConfig) -> Data:
    """The images, with the task scored as the objectives want it; UsageError where that tells nothing."""
    score = score_name(task_of(config))
    if score == "accuracy":
        return data
    task = data.task.scored_by(score)
    trained = np.isin(np.arange(len(data.labels)), data.split("train"))
    task.check(data.name, data.class_names, data.labels, trained)
    return replace(data, task=task)
