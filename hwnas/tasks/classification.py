"""One of several classes: cross-entropy, accuracy.

A search may go by another score: the share of images whose class is among the five most likely ones, or the
log loss, as the probability that is given to the right class in the geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError, did_you_mean

from .class_quality import (
    confusion,
    likelihood,
    quality_of,
    sureness,
    top_share,
    worst_confusions,
    wrong_first,
)
from .plain import PlainTask
from .shown_classes import percent
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Task

if TYPE_CHECKING:
    from torch import Tensor

UNBALANCED = 5.0
"""How many times as many images of one class as of another are worth a word."""

_OTHER_SCORES: tuple[str, ...] = ("top5", "likelihood")
_PIXEL_MODELS: tuple[str, ...] = ("svc", "linear")


@dataclass(frozen=True)
class Classification(PlainTask):
    """weights: of the classes in the loss; None for equal ones."""

    weights: tuple[float, ...] | None = None

    name = "classification"
    does = "one class per image"
    metric = Metric("accuracy", "accuracy", counted=True)
    readable = Readable(
        "top", 0.0, "Softmax", "classify", "Classifier", "an image classifier", "class", "the class"
    )
    mark = ""
    many_columns = False
    pixel_models = _PIXEL_MODELS
    mixes = True
    weighs = True
    scores = _OTHER_SCORES

    def scored_by(self, metric: str) -> Task:
        """By accuracy, top-5 accuracy or likelihood."""
        if metric not in _SCORED:
            raise UsageError(
                f"--objective val_{metric}: a classifier has no such score; {did_you_mean(metric, _SCORED)}"
            )
        return _SCORED[metric](weights=self.weights)

    def read(self, table: LabelTable) -> Labels:
        """Classes, numbered in the order of their names."""
        texts = [cells[0] for cells in table.cells]
        names = tuple(sorted(set(texts)))
        number = {name: label for label, name in enumerate(names)}
        return Labels(names, np.array([number[text] for text in texts], np.int64))

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """At least two classes, each with a training image."""
        if len(names) < 2:
            raise UsageError(
                f"{source}: at least 2 classes are needed, found {len(names)} "
                f"({', '.join(names) or 'none'}); give one folder (or label) per class, each with images"
            )
        known = set(labels[trained].tolist())
        lacking = [name for label, name in enumerate(names) if label not in known]
        if lacking:
            raise UsageError(
                f"{source}: no training image for class {', '.join(lacking[:5])} ({len(lacking)} of "
                f"{len(names)}); every class of val and test must be in train"
            )

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The classes."""
        return tuple(names), labels

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """The images of each class."""
        return [(name, labels == label) for label, name in enumerate(names)]

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """Whether one class has many more images than another."""
        counts = np.bincount(labels, minlength=len(names))
        most, fewest = int(counts.argmax()), int(counts.argmin())
        if counts[most] < UNBALANCED * max(1, counts[fewest]):
            return []
        return [
            f"classes are unbalanced: {counts[most]:,} training images of {names[most]!r}, "
            f"{counts[fewest]:,} of {names[fewest]!r}; accuracy hides how the rare ones do: see the accuracy "
            "by class, and --balance to weigh them alike"
        ]

    def balanced(self, labels: LabelArray) -> Task:
        """Weights n / (classes × images of the class), as scikit-learn's `balanced` has them."""
        counts = np.bincount(labels)
        weights = len(labels) / (len(counts) * np.maximum(counts, 1))
        return replace(self, weights=tuple(weights.tolist()))

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """Cross-entropy."""
        from torch.nn import functional

        weights = None if self.weights is None else outputs.new_tensor(self.weights)
        return functional.cross_entropy(
            outputs, labels, weight=weights, label_smoothing=smoothing, reduction=reduction
        )

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Right answers."""
        return (outputs.argmax(1) == labels).sum()

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": top_share(answers, labels, 1)}

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Another class."""
        differ: NDArray[np.bool_] = answers.argmax(1) != others.argmax(1)
        return differ

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """Of right answers, how far the second class is."""
        ordered = np.sort(answers, axis=1)
        margin: NDArray[np.float64] = (ordered[:, -1] - ordered[:, -2]) * (answers.argmax(1) == labels)
        return margin

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """The number and name of the class."""
        return {"label": int(label), "class": names[int(label)]}

    def outputs_in_words(self, n: int) -> str:
        """Classes."""
        return f"{n} {'class' if n == 1 else 'classes'}"

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """The class that the test images have most often."""
        return "the most frequent class alone", int(np.bincount(tested).max()) / len(tested)

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """Accuracy by class, confusion, calibration."""
        return quality_of(answers, labels, names, probabilities=probabilities)

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """Accuracy by class, what is confused, calibration."""
        rows: list[tuple[str, ...]] = [
            (
                row["class"],
                str(row["images"]),
                percent(row["accuracy"]),
            )
            for row in quality["by_class"]
        ]
        confused = worst_confusions(quality)
        pairs = "; ".join(f"{a} taken for {b} ({n})" for a, b, n in confused)
        sentences = [
            f"Most often confused: {pairs}. The whole table is `quality.confusion` of manifest.json."
            if confused
            else "No image is confused.",
            f"Expected calibration error: {quality['calibration_error']:.3f} (0: of the answers that say "
            "80 %, 80 % are right).",
        ]
        return ("class", "images", "right"), rows, sentences

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """Classes and confusions."""
        return confusion(answers, labels, names)

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """Wrong answers, the surest first."""
        return wrong_first(answers, labels)

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """The two classes, and the probability of the answer."""
        return {
            "label": names[int(label)],
            "answer": names[int(answer.argmax())],
            "sure": sureness(answer[None])[0],
        }


@dataclass(frozen=True)
class ByTopFive(Classification):
    """The same by top-5 accuracy."""

    name = "classification@top5"
    metric = Metric("top5", "top-5 accuracy", counted=True)
    pixel_models = ()

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """More classes than five."""
        if len(names) <= 5:
            raise UsageError(
                f"--objective val_top5: {source} has {len(names)} classes, which are always among the five "
                "most likely ones; give val_accuracy or val_loss"
            )
        super().check(source, names, labels, trained)

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """Shares of images whose class is among the five, and is the most likely one."""
        return {"top5": top_share(answers, labels, 5), "top1": top_share(answers, labels, 1)}

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """The five classes that the test images have most often."""
        counts = np.sort(np.bincount(tested))
        return "the five most frequent classes alone", int(counts[-5:].sum()) / len(tested)


@dataclass(frozen=True)
class ByLikelihood(Classification):
    """The same by log loss."""

    name = "classification@likelihood"
    metric = Metric("likelihood", "likelihood")
    pixel_models = ()

    def plain(self, probabilities: Answers) -> Answers:
        """Logarithms."""
        return np.log(np.maximum(probabilities, _LEAST))

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """exp(-log loss), log loss, and the share of right answers."""
        value = likelihood(answers, labels)
        return {
            "likelihood": value,
            "logloss": -math.log(max(value, _LEAST)),
            "top1": top_share(answers, labels, 1),
        }

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """What the training images say of the classes, for every image."""
        shares = np.bincount(trained, minlength=int(tested.max()) + 1) / len(trained)
        logs = np.log(np.maximum(shares, _LEAST))
        return "the shares of the classes alone", float(np.exp(logs[tested].mean()))


_LEAST = 1e-30
"""A probability, so that its logarithm is finite."""
_SCORED: Mapping[str, type[Classification]] = {
    "accuracy": Classification,
    "top5": ByTopFive,
    "likelihood": ByLikelihood,
}

CLASSIFICATION: Task = Classification()
