"""What a network learns: a task is a row of `TASKS`, and everything else asks the row.

A `Task` reads labels, says how wrong outputs are (loss), how good they are (metrics, of which one is the
objective), what they mean (decoding), and what cards, programs and pages show of them. One file per task.
Not here: images (`hwnas.data`), the loop that trains, the search.
"""

from .classification import CLASSIFICATION
from .detection import DETECTION
from .language import LANGUAGE, Language
from .multilabel import MULTI_LABEL
from .names import inward, outward
from .regression import REGRESSION
from .segmentation import SEGMENTATION
from .table import TASKS, task_named
from .task import LabelArray, Labels, LabelTable, Metric, Readable, Task

__all__ = [
    "CLASSIFICATION",
    "DETECTION",
    "LANGUAGE",
    "MULTI_LABEL",
    "REGRESSION",
    "SEGMENTATION",
    "TASKS",
    "LabelArray",
    "LabelTable",
    "Labels",
    "Language",
    "Metric",
    "Readable",
    "Task",
    "inward",
    "outward",
    "task_named",
]
