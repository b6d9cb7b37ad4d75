"""One or several numbers per image: Huber's loss of standardised targets, R², MAE, RMSE.

A network learns targets of mean 0 and deviation 1; `finish` writes the scale of the training targets into its
last layer, so that its file answers in the units of the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError

from .plain import PlainTask, last_linear, parts
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

_LARGEST = float(np.finfo(np.float32).max)
_PARTS = 5
"""Ranges of the first target that the splits hold alike."""


@dataclass(frozen=True)
class Regression(PlainTask):
    """mean, std: of each training target; empty until it is `fitted`."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    name = "regression"
    does = "one or several numbers per image"
    metric = Metric("r2", "R²")
    # R² of a part in which all have one value, as the age of a person, is none.
    part_metric = Metric("mae", "mean absolute error", lower_is_better=True)
    smooths = False
    mirror = False  # of a position or an angle it has another
    readable = Readable(
        "values",
        0.0,
        None,
        "estimate",
        "Estimator",
        "an estimator of numbers from images",
        "target",
        "the targets",
    )

    def read(self, table: LabelTable) -> Labels:
        """A column per target."""
        values = np.zeros((len(table.cells), len(table.columns)), np.float64)
        bad: list[str] = []
        for i, cells in enumerate(table.cells):
            for j, cell in enumerate(cells):
                number = _number(cell)
                if number is None:
                    bad.append(f"{table.columns[j]!r} of {table.samples[i]} is {cell!r}")
                else:
                    values[i, j] = number
        if bad:
            more = ", ..." if len(bad) > 3 else ""
            raise UsageError(
                f"{table.source}: {len(bad)} targets are no numbers up to 3.4e38: "
                f"{', '.join(bad[:3])}{more}; fill them in, remove these rows, or name the "
                "columns of targets with --label-column"
            )
        return Labels(table.columns, values.astype(np.float32))

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """Every target differs between training images."""
        values = labels[trained]
        equal = [name for j, name in enumerate(names) if not len(values) or np.ptp(values[:, j]) == 0]
        if equal:
            raise UsageError(
                f"{source}: the target {', '.join(equal[:5])} is the same for all training images, so there "
                "is nothing to learn; leave it out with --label-column, or add images"
            )

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Fifths of the first target."""
        edges, keys = _ranges(labels[:, 0])
        return parts(keys, _range_names(names[0], edges))

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """The images in each fifth of the first target."""
        edges, keys = _ranges(labels[:, 0])
        return [
            (name, keys == i) for i, name in enumerate(_range_names(names[0], edges)) if (keys == i).any()
        ]

    def fitted(self, labels: LabelArray) -> Task:
        """With mean and deviation of the training targets."""
        values = labels.astype(np.float64)
        return replace(self, mean=tuple(values.mean(0).tolist()), std=tuple(values.std(0).tolist()))

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """Huber's, of standardised targets: squares up to one deviation. Smoothing has no meaning here."""
        from torch.nn import functional

        mean, std = outputs.new_tensor(self.mean), outputs.new_tensor(self.std)
        each = functional.smooth_l1_loss(outputs, (labels - mean) / std, reduction="none").mean(1)
        return each.sum() if reduction == "sum" else each.mean()

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The explained share of the variance, summed over the samples; 0 where there is none."""
        mean, std = outputs.new_tensor(self.mean), outputs.new_tensor(self.std)
        lost = (outputs - (labels - mean) / std).square().mean(1)
        return (1 - lost).sum().clamp(min=0)

    def answers(self, outputs: Answers) -> Answers:
        """In the units of the data."""
        rescaled: Answers = (outputs * np.array(self.std) + np.array(self.mean)).astype(np.float32)
        return rescaled

    def finish(self, module: nn.Module) -> nn.Module:
        """Scale and shift the last linear layer."""
        import torch
        from torch import nn

        layer, std = last_linear(module, len(self.mean)), torch.tensor(self.std, dtype=torch.float64)
        with torch.no_grad():
            bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
            layer.weight.copy_(layer.weight.double() * std[:, None])
            shifted = bias.double() * std + torch.tensor(self.mean, dtype=torch.float64)
            layer.bias = nn.Parameter(shifted.float())
        return module

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """Means over the targets of R², mean absolute error, root of the mean squared error."""
        rows = _errors(answers, labels)
        return {key: float(np.mean([row[key] for row in rows])) for key in ("r2", "mae", "rmse")}

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Numbers that differ by more than a hundredth of a deviation of the targets."""
        far: NDArray[np.bool_] = (np.abs(answers - others) > 0.01 * np.array(self.std)).any(axis=1)
        return far

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """The nearest estimate is the best."""
        return 1 / (1e-3 + _distances(answers, labels, self.std))

    def outputs_in_words(self, n: int) -> str:
        """Targets."""
        return f"{n} {'target' if n == 1 else 'targets'}"

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """The mean of the training targets."""
        mean = np.broadcast_to(trained.mean(0), tested.shape).astype(np.float32)
        return "the mean of the training targets", self.score(mean, tested)

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """Errors per target, and how large 90 % of them are at most."""
        rows = _errors(answers, labels)
        ninth = np.quantile(np.abs(answers.astype(np.float64) - labels), 0.9, axis=0)
        return {
            "by_target": [
                {"target": name, "mean": float(labels[:, j].mean()), **rows[j], "p90": float(ninth[j])}
                for j, name in enumerate(names)
            ],
            **self.metrics(answers, labels),
        }

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """One row per target."""
        keys = ("mean", "mae", "rmse", "p90", "r2")
        rows = [(row["target"], *(f"{row[key]:.4g}" for key in keys)) for row in quality["by_target"]]
        head = ("target", "mean", "mean absolute error", "RMSE", "90 % of errors below", "R²")
        return head, rows, ["All numbers are in the units of the data, as the file answers."]

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """Errors per target."""
        keys = ("mae", "rmse", "r2")
        rows = [
            [name, *(f"{row[key]:.4g}" for key in keys)]
            for name, row in zip(names, _errors(answers, labels), strict=True)
        ]
        return {
            "table": {"head": ["Target", "Mean absolute error", "RMSE", "R²"], "rows": rows},
            "n": len(labels),
        }

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """The largest errors first."""
        return np.argsort(-_distances(answers, labels, self.std), kind="stable").astype(np.int64)

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """True and estimated numbers."""

        def numbers(values: Any) -> str:
            texts = [f"{value:.4g}" for value in np.atleast_1d(values).tolist()]
            return (
                ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True))
                if len(names) > 1
                else texts[0]
            )

        return {"label": numbers(label), "answer": numbers(answer)}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None


def _errors(answers: Answers, labels: LabelArray) -> list[dict[str, float]]:
    """R², MAE and RMSE per target; R² of a constant target is 1 for a perfect answer, else 0."""
    off = answers.astype(np.float64) - labels.astype(np.float64)
    spread = labels.astype(np.float64) - labels.astype(np.float64).mean(0)
    lost, all_of_it = (off**2).sum(0), (spread**2).sum(0)
    return [
        {
            "r2": float(1 - lost[j] / all_of_it[j]) if all_of_it[j] else float(lost[j] == 0),
            "mae": float(np.abs(off[:, j]).mean()),
            "rmse": float(np.sqrt((off[:, j] ** 2).mean())),
        }
        for j in range(labels.shape[1])
    ]


def _distances(answers: Answers, labels: LabelArray, std: Sequence[float]) -> NDArray[np.float64]:
    """(n,): the largest error of a sample, in deviations of the target."""
    far: NDArray[np.float64] = np.abs((answers.astype(np.float64) - labels) / np.array(std)).max(axis=1)
    return far


def _ranges(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Edges between fifths, (m,), and the range of every sample."""
    quantiles = np.quantile(values.astype(np.float64), np.linspace(0, 1, _PARTS + 1)[1:-1])
    edges = np.unique(quantiles)
    return edges, np.searchsorted(edges, values, side="right").astype(np.int64)


def _range_names(target: str, edges: NDArray[np.float64]) -> list[str]:
    texts = [f"{edge:.4g}" for edge in edges]
    between = [f"{target} {low} to {high}" for low, high in itertools.pairwise(texts)]
    return [f"{target} below {texts[0]}", *between, f"{target} from {texts[-1]}"]


REGRESSION: Task = Regression()
