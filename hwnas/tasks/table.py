"""The table of tasks. Another one is a class like those beside this file, and `TASKS.add`."""

from __future__ import annotations

from hwnas.core.registry import Registry

from .classification import CLASSIFICATION
from .detection import DETECTION
from .language import LANGUAGE
from .multilabel import MULTI_LABEL
from .regression import REGRESSION
from .segmentation import SEGMENTATION
from .several_named import is_several, several_named
from .task import Task

TASKS: Registry[Task] = Registry("task")
for _task in (CLASSIFICATION, MULTI_LABEL, REGRESSION, SEGMENTATION, DETECTION, LANGUAGE):
    TASKS.add(_task.name)(_task)


def task_named(name: str | None) -> Task:
    """The task of that name, of several as `several_named` reads it; classification where nothing is said.

    >>> task_named("classification@top5").metric.label
    'top-5 accuracy'
    """
    if name is None:
        return CLASSIFICATION
    if is_several(name):
        return several_named(name, TASKS.__getitem__)
    task, _, score = name.partition("@")
    return TASKS[task].scored_by(score) if score else TASKS[task]
