"""Objects and where they are: focal and GIoU loss, mean average precision by COCO's definition.

Labels and answers are rows as `box_scores` has them. What is kept of a network's outputs (n, 4 + k, cells)
are the at most 100 boxes that `box_decode` finds in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwnas.networks.box_head import EDGES
from targets.errors import UsageError

from .box_decode import decoded
from .box_fits import counted, fit_of, lacks, sure_rows
from .box_loss import assigned, detection_loss
from .box_scores import EMPTY, SURE, BoxReals, matched, rows_of
from .pictures import in_colour, side_by_side, with_boxes
from .plain import PlainTask, rarest_parts
from .shown_classes import known, never_shown, percent, require_learned
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Task

if TYPE_CHECKING:
    from torch import Tensor

_RARE = 0.05
"""Share of the objects of an average class, below which a class is rare."""


@dataclass(frozen=True)
class Detection(PlainTask):
    """See the module's docstring."""

    name = "detection"
    does = "objects, each with a box"
    head = "boxes"
    boxes = True
    smooths = False
    many_columns = False
    pixel_models: tuple[str, ...] = ()
    metric = Metric("map", "mAP50-95")
    readable = Readable(
        "boxes",
        SURE,
        None,
        "detect",
        "Detector",
        "a network that detects objects",
        "class",
        "the objects and their boxes",
    )

    def read(self, table: LabelTable) -> Labels:
        """UsageError: boxes are read from files."""
        raise UsageError(f"{table.source}: the labels of {self.name} are boxes, not texts")

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """At least one object on a training image, and every class that some image shows."""
        shown, learned = (_counts(part, len(names)).sum(axis=0) for part in (labels, labels[trained]))
        if not learned.any():
            raise UsageError(
                f"{source}: no training image has an object, so there is nothing to learn; a box is needed "
                "for each object"
            )
        require_learned(source, names, shown, learned)

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The rarest class of each image, so that every split gets some of the rare ones."""
        return rarest_parts(_counts(labels, len(names)) > 0, names, "no object")

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """The images that show each class, and those without objects."""
        counts = _counts(labels, len(names)) > 0
        rows = [(name, counts[:, j]) for j, name in enumerate(names)]
        none: NDArray[np.bool_] = ~np.asarray(counts.any(axis=1), bool)
        return [*rows, ("(no object)", none)] if none.any() else rows

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """How many objects there are, and which classes have few or none."""
        counts = _counts(labels, len(names)).sum(axis=0)
        n = int(counts.sum())
        notes = [f"{n} objects on {len(labels)} training images"]
        rare = [i for i in np.argsort(counts).tolist() if 0 < counts[i] < _RARE * n / len(names)]
        if rare:
            notes.append(f"rare classes: {', '.join(f'{names[i]} ({counts[i]})' for i in rare[:5])}")
        return notes + never_shown(names, counts, "box")

    def balanced(self, labels: LabelArray) -> Task:
        """UsageError: the focal loss weighs what is hard."""
        raise UsageError(
            f"--balance: the focal loss of {self.name} weighs what is hard already; leave it out"
        )

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """`detection_loss`; `sum` is that times the images."""
        mean = detection_loss(outputs, labels)
        return mean * len(outputs) if reduction == "sum" else mean

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The share of the learning cells of each image whose class is the surest; 1 where none learns."""
        targets = assigned(labels.to(outputs.dtype), outputs.shape[2])
        hits = (outputs[:, EDGES:].argmax(1) == targets.classes) & targets.learns
        n = targets.learns.sum(1)
        return (hits.sum(1) + (n == 0)).div(n.clamp(min=1)).sum()

    def kept(self, outputs: Answers, labels: LabelArray) -> LabelArray:
        """The boxes."""
        return decoded(outputs)

    def metrics(self, answers: LabelArray, labels: LabelArray) -> dict[str, float]:
        """`map`: mean over classes and IoU 0.50 to 0.95; `map50`: at IoU 0.50."""
        return matched(answers, labels).figures()

    def scorer(self, answers: Answers, labels: LabelArray) -> Callable[[NDArray[np.int64]], float]:
        """The first metric of a selection; boxes are matched once."""
        return matched(answers, labels).scorer()

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Where one shows a box, and the other has none of its class there."""
        pairs = list(zip(map(rows_of, answers), map(rows_of, others), strict=True))
        return np.array([lacks(a, b) or lacks(b, a) for a, b in pairs], bool)

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """F1 of the boxes shown, times the least sure of them; 0 without objects."""
        fits = [fit_of(a, b) for a, b in zip(answers, labels, strict=True)]
        return np.array([each.f1 * each.least_sure * (each.objects > 0) for each in fits])

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """Class and edges of each object."""
        rows = rows_of(np.asarray(label))
        objects = [{"class": names[int(row[0])], "box": row[1:5].tolist()} for row in rows if not row[5]]
        return {"label": objects}

    def outputs_in_words(self, n: int) -> str:
        """Classes."""
        return f"{n} {'class' if n == 1 else 'classes'} of objects"

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """One box on each image: of the most frequent class, with the mean of its edges."""
        rows = np.concatenate([rows_of(image) for image in trained])
        rows = rows[rows[:, 5] == 0]
        most = int(np.bincount(rows[:, 0].astype(int)).argmax())
        answers = np.zeros((len(tested), 1, tested.shape[2]), np.float32)
        answers[:] = [most, *rows[rows[:, 0] == most, 1:5].mean(axis=0), 1.0]
        return "the mean box of the most frequent class on every image", self.score(answers, tested)

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """Average precision per class, and what is found at the score from which boxes are shown."""
        matches = matched(answers, labels, len(names))
        precisions, shown = matches.precisions(), counted(answers, labels, len(names))
        rows = [
            {
                "class": name,
                "images": int((matches.classes[j].objects > 0).sum()),
                "objects": int(matches.classes[j].objects.sum()),
                "ap": known(precisions[j].mean()),
                "ap50": known(precisions[j, 0]),
                "found": known(shown[j, 0] / shown[j, 1]) if shown[j, 1] else None,
                "false_alarms": int(shown[j, 2]),
            }
            for j, name in enumerate(names)
        ]
        return {"by_class": rows, **matches.figures(), "score_shown": SURE}

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """One row per class."""
        rows = [tuple(map(str, cells)) for cells in _cells(quality)]
        sentences = [
            f"mAP50-95 {100 * quality['map']:.1f} %, mAP50 {100 * quality['map50']:.1f} %, by COCO's "
            f"definition. Found and false alarms: of boxes of a score of {quality['score_shown']:g} or more, "
            "at IoU 0.5."
        ]
        return ("class", "objects", "AP50-95", "AP50", "found", "false alarms"), rows, sentences

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """Per class what is found, and which boxes are false alarms."""
        quality = self.quality(answers, labels, names, probabilities=False)
        shows = (
            f"Each image with its true boxes, and with those of the network of a score of {SURE:g} or more."
        )
        head = ["Class", "Objects", "AP50-95", "AP50", "Found", "False alarms"]
        return {"table": {"head": head, "rows": _cells(quality)}, "n": len(labels), "shows": shows}

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """Images with a box too many or too few, the lowest F1 first."""
        f1 = np.array([fit_of(a, b).f1 for a, b in zip(answers, labels, strict=True)])
        order = np.argsort(f1, kind="stable").astype(np.int64)
        places: NDArray[np.int64] = order[f1[order] < 1]
        return places

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """How many of each class there are and are shown, and how many are right."""
        fit = fit_of(np.asarray(answer), np.asarray(label))
        true, sure = rows_of(np.asarray(label)), sure_rows(np.asarray(answer))
        return {
            "label": _in_words(true[true[:, 5] == 0], names),
            "answer": f"{_in_words(sure, names)}; {fit.right} of {fit.objects} found",
        }

    def shown(self, image: NDArray[np.uint8], label: Any, answer: Any) -> NDArray[np.uint8]:
        """The image with its true boxes, and beside it with those of the answer, in colours of `palette`."""
        colour = in_colour(image)
        sure = sure_rows(np.asarray(answer)) * [1, 1, 1, 1, 1, 0]  # a score is no mark of a crowd
        return side_by_side(with_boxes(colour, rows_of(np.asarray(label))), with_boxes(colour, sure))


def _cells(quality: Mapping[str, Any]) -> list[list[Any]]:
    """A row for each class: its name, objects, both average precisions, found, false alarms."""
    return [
        [
            row["class"],
            row["objects"],
            *(percent(row[key]) for key in ("ap", "ap50", "found")),
            row["false_alarms"],
        ]
        for row in quality["by_class"]
    ]


def _counts(labels: LabelArray, k: int) -> NDArray[np.int64]:
    """(n, k): objects of each class, crowds left out."""
    counted = np.where(labels[..., 5] == 0, labels[..., 0], EMPTY).astype(np.int64)
    return np.stack([(counted == j).sum(axis=1) for j in range(k)], axis=1)


def _in_words(rows: BoxReals, names: Sequence[str]) -> str:
    """`2 ring, 1 circle`."""
    counts = np.bincount(rows[:, 0].astype(int), minlength=len(names))
    told = [f"{counts[j]} {names[j]}" for j in np.argsort(-counts, kind="stable").tolist() if counts[j]]
    return ", ".join(told[:5]) or "no object"


DETECTION: Task = Detection()
