"""Any number of tags per image: a logistic loss per tag, mean average precision, F1 at probability 0.5."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError

from .classification import UNBALANCED
from .plain import PlainTask, rarest_parts
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Task

if TYPE_CHECKING:
    from torch import Tensor

_TRUE, _FALSE = frozenset(("1", "1.0", "true", "yes")), frozenset(("0", "0.0", "false", "no", ""))
_MOST_WEIGHT = 20.0
"""Largest weight of a present tag against an absent one."""


@dataclass(frozen=True)
class MultiLabel(PlainTask):
    """weights: of each tag, where it is present, in the loss; None for equal ones."""

    weights: tuple[float, ...] | None = None

    name = "multi-label"
    weighs = True
    does = "any number of tags per image"
    metric = Metric("map", "mAP")
    readable = Readable("above", 0.0, "Sigmoid", "tag", "Tagger", "a tagger of images", "tag", "the tags")

    def read(self, table: LabelTable) -> Labels:
        """One column of 0 and 1 per tag, or one column of lists: `cat;dog`."""
        if len(table.columns) == 1 and not all(cells[0].lower() in _TRUE | _FALSE for cells in table.cells):
            return _lists(table)
        values = np.zeros((len(table.cells), len(table.columns)), np.float32)
        for i, cells in enumerate(table.cells):
            for j, cell in enumerate(cells):
                if cell.lower() in _TRUE:
                    values[i, j] = 1
                elif cell.lower() not in _FALSE:
                    raise UsageError(
                        f"{table.source}: tag {table.columns[j]!r} of {table.samples[i]} is {cell!r}; "
                        "allowed: 0 or 1, or one column of lists such as cat;dog; --label-column names the "
                        "columns of tags"
                    )
        return Labels(table.columns, values)

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """Every tag is on some training image, and not on all."""
        if not names:
            raise UsageError(f"{source}: no image has a tag; give tags in a column of the CSV")
        present = labels[trained].mean(axis=0) if trained.any() else np.zeros(len(names))
        for word, odd in (("no", present == 0), ("every", present == 1)):
            if odd.any():
                lacking = [name for name, is_odd in zip(names, odd, strict=True) if is_odd]
                raise UsageError(
                    f"{source}: {word} training image has the tag {', '.join(lacking[:5])} ({len(lacking)} "
                    f"of {len(names)}), so there is nothing to learn; leave it out of the lists or with "
                    "--label-column, or add images"
                )

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The rarest tag of each image, so that every split gets some of the rare ones."""
        return rarest_parts(labels > 0, names, "no tag")

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """The images with each tag, and those with none."""
        there: NDArray[np.bool_] = labels > 0
        bare = np.asarray(~there.any(axis=1))
        return [*((name, there[:, j]) for j, name in enumerate(names)), ("(no tag)", bare)]

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """Which tags are rare."""
        shares = labels.mean(axis=0)
        rare = [i for i in np.argsort(shares).tolist() if shares[i] < 1 / (2 * UNBALANCED)]
        if not rare:
            return []
        told = ", ".join(f"{names[i]} ({100 * shares[i]:.1f} %)" for i in rare[:5])
        return [f"rare tags: {told} of the training images; `--balance weights` weighs them more"]

    def balanced(self, labels: LabelArray) -> Task:
        """Weights absent / present per tag, at most 20."""
        present = labels.sum(axis=0)
        weights = np.minimum((len(labels) - present) / np.maximum(present, 1), _MOST_WEIGHT)
        return replace(self, weights=tuple(weights.tolist()))

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """Binary cross-entropy: the sum over the tags, so that its scale is that of a classifier's."""
        from torch.nn import functional

        weights = None if self.weights is None else outputs.new_tensor(self.weights)
        smooth = labels * (1 - smoothing) + smoothing / 2
        each = functional.binary_cross_entropy_with_logits(
            outputs, smooth, pos_weight=weights, reduction="none"
        ).sum(1)
        return each.sum() if reduction == "sum" else each.mean()

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Right decisions, as a share of the tags."""
        return ((outputs > 0) == (labels > 0.5)).float().mean(1).sum()

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """Means over the tags: `map` over those that some sample has, `f1` over all."""
        precision = [
            average_precision(labels[:, j], answers[:, j])
            for j in range(labels.shape[1])
            if labels[:, j].any()
        ]
        f1 = [row["f1"] for row in _decisions(answers, labels)]
        return {"map": float(np.mean(precision)) if precision else 0.0, "f1": float(np.mean(f1))}

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Other tags."""
        differ: NDArray[np.bool_] = ((answers > 0) != (others > 0)).any(axis=1)
        return differ

    def plain(self, probabilities: Answers) -> Answers:
        """Logits."""
        clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-7)
        return np.log(clipped / (1 - clipped)).astype(np.float32)

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """Where all tags are right, how far the nearest is from its threshold."""
        right = ((answers > 0) == (labels > 0)).all(axis=1)
        margin: NDArray[np.float64] = np.abs(answers).min(axis=1).astype(np.float64) * right
        return margin

    def outputs_in_words(self, n: int) -> str:
        """Tags."""
        return f"{n} {'tag' if n == 1 else 'tags'}"

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """Any constant answer has the share of a tag as its average precision."""
        shares = tested.mean(axis=0)
        return "any answer that is always the same", float(shares[shares > 0].mean()) if shares.any() else 0.0

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """Average precision, precision, recall and F1 per tag."""
        rows = []
        for j, decided in enumerate(_decisions(answers, labels)):
            known = labels[:, j].any()
            precision = average_precision(labels[:, j], answers[:, j]) if known else None
            images = int(labels[:, j].sum())
            rows.append({"tag": names[j], "images": images, "average_precision": precision, **decided})
        return {"by_tag": rows, **self.metrics(answers, labels)}

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """One row per tag."""
        keys = ("average_precision", "precision", "recall", "f1")
        rows = [
            (row["tag"], str(row["images"]), *("–" if row[k] is None else f"{row[k]:.3f}" for k in keys))
            for row in quality["by_tag"]
        ]
        means = (
            f"Mean average precision {quality['map']:.3f}, mean F1 {quality['f1']:.3f}: a tag is given where "
            "its probability is above 0.5."
        )
        return ("tag", "images", "average precision", "precision", "recall", "F1"), rows, [means]

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """Per tag what was missed and what was given wrongly."""
        given, there = answers > 0, labels > 0
        rows = [
            [
                name,
                int(there[:, j].sum()),
                int((there & ~given)[:, j].sum()),
                int((given & ~there)[:, j].sum()),
            ]
            for j, name in enumerate(names)
        ]
        return {
            "table": {"head": ["Tag", "Images", "Missed", "Wrongly given"], "rows": rows},
            "wrong": int((given != there).any(axis=1).sum()),
            "n": len(labels),
        }

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """Samples with a wrong tag, the most certain mistake first."""
        wrong = np.where((answers > 0) != (labels > 0), np.abs(answers), 0).max(axis=1)
        order = np.argsort(-wrong, kind="stable").astype(np.int64)
        places: NDArray[np.int64] = order[wrong[order] > 0]
        return places

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """The tags that are there and those that were given."""

        def tags(chosen: NDArray[np.bool_]) -> str:
            return ", ".join(name for name, is_on in zip(names, chosen, strict=True) if is_on) or "no tag"

        return {"label": tags(np.asarray(label) > 0), "answer": tags(answer > 0)}


def average_precision(there: NDArray[Any], scores: NDArray[Any]) -> float:
    """Sum of precision times the rise of recall over falling thresholds. there, scores: (n,); some are there.

    Equal scores share a threshold, as in scikit-learn's `average_precision_score`.
    """
    order = np.argsort(-scores, kind="stable")
    hits, ordered = there[order] > 0, scores[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    found = np.cumsum(hits)[last]
    precision, recall = found / (last + 1), found / found[-1]
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def _decisions(answers: Answers, labels: LabelArray) -> list[dict[str, float]]:
    """Precision, recall and F1 per tag; 0 where they are undefined."""
    given, there = answers > 0, labels > 0
    both, n_given, n_there = (given & there).sum(0), given.sum(0), there.sum(0)
    return [
        {
            "precision": float(both[j] / max(1, n_given[j])),
            "recall": float(both[j] / max(1, n_there[j])),
            "f1": float(2 * both[j] / max(1, n_given[j] + n_there[j])),
        }
        for j in range(labels.shape[1])
    ]


def _lists(table: LabelTable) -> Labels:
    """Tags in one cell, apart by `;`, `|` or `,`, else by spaces."""
    texts = [cells[0] for cells in table.cells]
    sign = next((sign for sign in ";|," if any(sign in text for text in texts)), None)
    lists = [
        {tag.strip() for tag in (text.split(sign) if sign else re.split(r"\s+", text)) if tag.strip()}
        for text in texts
    ]
    names = tuple(sorted(set().union(*lists)))
    place = {name: j for j, name in enumerate(names)}
    values = np.zeros((len(lists), len(names)), np.float32)
    for i, tags in enumerate(lists):
        values[i, [place[tag] for tag in tags]] = 1
    return Labels(names, values)


MULTI_LABEL: Task = MultiLabel()
