"""What people see of a detector's answers: boxes of a score of `SURE` or more, and how they fit the objects.

Answers and labels are rows as `box_scores` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .box_scores import EMPTY, MOST_ANSWERS, SURE, BoxReals, matched, overlaps, rows_of
from .task import LabelArray

ALIKE = 0.8
"""IoU of two boxes that tell a user the same."""


@dataclass(frozen=True, slots=True)
class BoxFit:
    """Of one image: its objects, the boxes shown and those that are right at IoU 0.5, the score of the least
    sure box shown, 1 without any.
    """

    objects: int
    shown: int
    right: int
    least_sure: float

    @property
    def f1(self) -> float:
        """1 where there is nothing to find and nothing is shown."""
        total = self.objects + self.shown
        return 2 * self.right / total if total else 1.0


def fit_of(answer: NDArray[Any], label: NDArray[Any]) -> BoxFit:
    """How the boxes shown on one image fit its objects. answer: (a, 6). label: (m, 6)."""
    sure = sure_rows(answer)
    found, objects, false_alarms = counted(answer[None], label[None]).sum(axis=0).tolist()
    return BoxFit(objects, found + false_alarms, found, float(sure[:, 5].min(initial=1.0)))


def counted(answers: LabelArray, labels: LabelArray, n_classes: int | None = None) -> NDArray[np.int64]:
    """(k, 3): of each class the objects found at IoU 0.5, all objects, and the false alarms, of boxes shown.

    answers: (n, a, 6). labels: (n, m, 6). k: `n_classes`, or as many as there are in both.
    """
    sure = np.stack([_padded(sure_rows(answer)) for answer in answers])
    rows = []
    for each in matched(sure, labels, n_classes).classes:
        right, shown = (int(part[:, 0].sum()) for part in (each.right & each.counts, each.counts))
        rows.append((right, int(each.objects.sum()), shown - right))
    return np.array(rows, np.int64).reshape(-1, 3)


def sure_rows(answer: NDArray[Any]) -> BoxReals:
    """(b, 6): the boxes of one image that are shown."""
    rows = rows_of(answer)
    return rows[rows[:, 5] >= SURE]


def lacks(boxes: BoxReals, others: BoxReals) -> bool:
    """Whether a box that is shown has no like among the others, of which half as sure ones do."""
    boxes, others = boxes[boxes[:, 5] >= SURE], others[others[:, 5] >= SURE / 2]
    like = (overlaps(boxes[:, 1:5], others[:, 1:5]) >= ALIKE) & (boxes[:, None, 0] == others[None, :, 0])
    return not bool(like.any(axis=1).all())


def _padded(rows: BoxReals) -> BoxReals:
    out = np.zeros((MOST_ANSWERS, rows.shape[1]))
    out[:, 0] = EMPTY
    out[: len(rows)] = rows
    return out
