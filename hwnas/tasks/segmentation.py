"""The class of every pixel: cross-entropy, mean intersection over union.

Labels are masks (n, s, s) of class numbers, `IGNORED` where nobody says. What is kept of a network's logits
(n, k, s, s) is the mask of the largest: a byte per pixel, a third of what a colour image takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError

from .mask_scores import IGNORED, confusions, figures, ious, shares
from .pictures import in_colour, of_mask, side_by_side
from .plain import PlainTask, rarest_parts
from .shown_classes import known, never_shown, percent, require_learned
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Task

if TYPE_CHECKING:
    from torch import Tensor

UNLIKE = 0.01
"""Share of the pixels from which two masks of one image tell a user different things."""

_RARE = 0.01
_MOST_WEIGHT = 20.0


@dataclass(frozen=True)
class Segmentation(PlainTask):
    """weights: of the classes in the loss; None for equal ones."""

    weights: tuple[float, ...] | None = None

    name = "segmentation"
    does = "the class of every pixel"
    head = "mask"
    planes = 1
    weighs = True
    many_columns = False
    pixel_models: tuple[str, ...] = ("neighbourhoods",)
    metric = Metric("miou", "mIoU")
    readable = Readable(
        "mask",
        0.0,
        None,
        "segment",
        "Segmenter",
        "a network that segments images",
        "class",
        "the class of every pixel",
    )

    def read(self, table: LabelTable) -> Labels:
        """UsageError: masks are read from files."""
        raise UsageError(f"{table.source}: the labels of {self.name} are masks, not texts")

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """At least two classes, and every class that some image shows on a training image."""
        shown, learned = labels.sum(axis=0), labels[trained].sum(axis=0)
        if (learned > 0).sum() < 2:
            there = ", ".join(names[i] for i in np.flatnonzero(learned).tolist()) or "none"
            raise UsageError(
                f"{source}: the masks of the training images show {(learned > 0).sum()} class ({there}), so "
                "there is nothing to learn; masks hold the number of a class in every pixel, "
                f"{IGNORED} where it is not known"
            )
        require_learned(source, names, shown, learned)

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The rarest class of each image, so that every split gets some of the rare ones."""
        return rarest_parts(labels > 0, names, "no class")

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """The images that show each class."""
        return [(name, labels[:, j] > 0) for j, name in enumerate(names)]

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """Which classes have few pixels, and which have none."""
        pixels = labels.sum(axis=0)
        parts = pixels / max(1, int(pixels.sum()))
        rare = [i for i in np.argsort(parts).tolist() if 0 < parts[i] < _RARE]
        notes = []
        if rare:
            told = ", ".join(f"{names[i]} ({100 * parts[i]:.2g} %)" for i in rare[:5])
            notes.append(f"rare classes: {told} of the training pixels; `--balance weights` weighs them more")
        return notes + never_shown(names, pixels, "mask")

    def balanced(self, labels: LabelArray) -> Task:
        """Weights pixels / (classes × pixels of the class), at most 20."""
        counts = np.bincount(labels.ravel(), minlength=IGNORED + 1)[:IGNORED]
        n = 1 + int(np.flatnonzero(counts)[-1])
        shown = counts[:n] > 0
        weights = counts.sum() / (shown.sum() * np.maximum(counts[:n], 1))
        return replace(self, weights=tuple(np.where(shown, np.minimum(weights, _MOST_WEIGHT), 0.0).tolist()))

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """Cross-entropy, its mean over the pixels that count; `sum` is that times the images."""
        from torch.nn import functional

        weights = None
        if self.weights is not None:  # of classes that no training image shows there are none
            weights = outputs.new_zeros(outputs.shape[1])
            weights[: len(self.weights)] = outputs.new_tensor(self.weights)
        if not bool((labels != IGNORED).any()):
            return outputs.sum() * 0
        mean = functional.cross_entropy(
            outputs, labels.long(), weight=weights, ignore_index=IGNORED, label_smoothing=smoothing
        )
        return mean * len(outputs) if reduction == "sum" else mean

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The share of right pixels of each image."""
        counts = (labels != IGNORED).flatten(1)
        right = (outputs.argmax(1) == labels).flatten(1) & counts
        return (right.sum(1) / counts.sum(1).clamp(min=1)).sum()

    def kept(self, outputs: Answers, labels: LabelArray) -> LabelArray:
        """The mask of the largest logit."""
        masks: LabelArray = outputs.argmax(axis=1).astype(np.uint8)
        return masks

    def metrics(self, answers: LabelArray, labels: LabelArray) -> dict[str, float]:
        """`miou`: mean over the classes of the labels and answers; `pixel_acc`: share of right pixels."""
        return figures(confusions(answers, labels).sum(axis=0))

    def scorer(self, answers: Answers, labels: LabelArray) -> Callable[[NDArray[np.int64]], float]:
        """From what is counted per image."""
        counted = confusions(answers, labels)
        return lambda places: figures(counted[places].sum(axis=0))["miou"]

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """More than one pixel in a hundred of another class."""
        differ: NDArray[np.bool_] = (answers != others).reshape(len(answers), -1).mean(axis=1) > UNLIKE
        return differ

    def agreement(self, answers: Answers, others: Answers) -> float:
        """The share of the pixels of the same class."""
        return float((answers == others).mean())

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """MIoU of each image; of one class alone half as much."""
        return np.array(
            [
                figures(one)["miou"] * (1.0 if (one.sum(axis=1) > 0).sum() > 1 else 0.5)
                for one in confusions(answers, labels)
            ]
        )

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """How many pixels each class has."""
        return {"label": _pixels(label, names)}

    def outputs_in_words(self, n: int) -> str:
        """Classes."""
        return f"{n} {'class' if n == 1 else 'classes'} of pixels"

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """The class that has most training pixels, everywhere."""
        most = int(np.bincount(trained.ravel(), minlength=IGNORED + 1)[:IGNORED].argmax())
        return "the most frequent class everywhere", self.score(np.full_like(tested, most), tested)

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """IoU and the share of found pixels per class."""
        counted = confusions(answers, labels, len(names))
        whole = counted.sum(axis=0)
        iou, found = ious(whole), shares(whole.diagonal(), whole.sum(axis=1))
        images = (counted.sum(axis=2) > 0).sum(axis=0)
        rows = [
            {
                "class": name,
                "images": int(images[j]),
                "pixels": int(whole[j].sum()),
                "iou": known(iou[j]),
                "found": known(found[j]),
            }
            for j, name in enumerate(names)
        ]
        return {"by_class": rows, **figures(whole), "confusion": whole.tolist()}

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """One row per class."""
        rows = [
            (
                row["class"],
                str(row["images"]),
                *(percent(row[k]) for k in ("iou", "found")),
            )
            for row in quality["by_class"]
        ]
        sentences = [
            f"Mean IoU {100 * quality['miou']:.1f} %; {100 * quality['pixel_acc']:.1f} % of the pixels are "
            f"right. Those of the label {IGNORED} count nowhere."
        ]
        return ("class", "images with it", "IoU", "pixels found"), rows, sentences

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """Per class IoU, what was found, and what it is taken for most."""
        whole = confusions(answers, labels, len(names)).sum(axis=0)
        iou, found = ious(whole), shares(whole.diagonal(), whole.sum(axis=1))
        others = whole - np.diag(whole.diagonal())
        rows = [
            [
                name,
                int(whole[j].sum()),
                percent(known(iou[j])),
                percent(known(found[j])),
                names[int(others[j].argmax())] if others[j].any() else "–",
            ]
            for j, name in enumerate(names)
        ]
        head = ["Class", "Pixels", "IoU", "Found", "Else taken for"]
        shows = "Each image, its mask and the answer of the network, in the colours of PASCAL VOC."
        return {"table": {"head": head, "rows": rows}, "n": len(labels), "shows": shows}

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """Images with a wrong pixel, that with most of them first."""
        wrong = ((answers != labels) & (labels != IGNORED)).reshape(len(labels), -1).mean(axis=1)
        order = np.argsort(-wrong, kind="stable").astype(np.int64)
        places: NDArray[np.int64] = order[wrong[order] > 0]
        return places

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """The classes of both masks by their size, and how many pixels are right."""
        counted = confusions(answer[None], np.asarray(label)[None])[0]
        right = counted.diagonal().sum() / max(1, counted.sum())
        return {
            "label": _in_words(np.asarray(label), names),
            "answer": f"{_in_words(np.asarray(answer), names)}; {100 * right:.0f} % of the pixels right",
        }

    def shown(self, image: NDArray[np.uint8], label: Any, answer: Any) -> NDArray[np.uint8]:
        """The image, its mask and the answer side by side, in the colours of `palette`."""
        return side_by_side(in_colour(image), of_mask(label), of_mask(answer))


def _pixels(mask: NDArray[Any], names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(np.asarray(mask).ravel(), minlength=IGNORED + 1)
    return {name: int(counts[j]) for j, name in enumerate(names) if counts[j]}


def _in_words(mask: NDArray[Any], names: Sequence[str]) -> str:
    """`ground 81 %, ring 12 %`: the largest three."""
    largest = sorted(_pixels(mask, names).items(), key=lambda item: -item[1])
    total = sum(n for _, n in largest) or 1
    return ", ".join(f"{name} {100 * n / total:.0f} %" for name, n in largest[:3]) or "nothing"


SEGMENTATION: Task = Segmentation()
