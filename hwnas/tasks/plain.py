"""What most tasks do alike; a task takes it and changes what differs. Nothing here holds a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import HwnasError, UsageError

from .task import Answers, LabelArray, Metric, Readable, Reading, Task

if TYPE_CHECKING:
    from torch import nn

FEWEST = 10
"""Samples of a part that splits shall hold alike; smaller parts are put together."""


class PlainTask:
    """Outputs are answers, all columns of a CSV are outputs, nothing is fitted, nothing can be balanced."""

    readable: Readable
    head = "pooled"
    many_columns = True
    planes = 0
    boxes = False
    pixel_models: tuple[str, ...] = ("ridge",)
    mixes = False
    texts = False
    recipe: Mapping[str, Any] = {}
    scores: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the row."""
        raise NotImplementedError

    @property
    def metric(self) -> Metric:
        """Of the row."""
        raise NotImplementedError

    @property
    def mirror(self) -> bool:
        """Yes."""
        return True

    @property
    def weighs(self) -> bool:
        """No."""
        return False

    @property
    def smooths(self) -> bool:
        """Yes."""
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def file_outputs(self) -> Mapping[str, tuple[str, ...]]:
        """One output."""
        return {}

    @property
    def readings(self) -> tuple[Reading, ...]:
        """None."""
        return ()

    @property
    def mark(self) -> str:
        """The name of the task."""
        return self.name

    @property
    def part_metric(self) -> Metric:
        """The objective."""
        return self.metric

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """Nothing."""
        return []

    def fitted(self: Task, labels: LabelArray) -> Task:
        """The task itself."""
        return self

    def scored_by(self: Task, metric: str) -> Task:
        """The task itself, by its own metric."""
        if metric == self.metric.name:
            return self
        raise UsageError(
            f"--objective val_{metric}: {self.name} is scored by {self.metric.label}; give "
            f"val_{self.metric.name}"
        )

    def balanced(self, labels: LabelArray) -> Task:
        """UsageError."""
        raise UsageError(f"--balance: {self.name} has no classes that could be rare; leave it out")

    def kept(self, outputs: Answers, labels: LabelArray) -> LabelArray:
        """The outputs."""
        return outputs

    def answers(self, outputs: Answers) -> Answers:
        """The outputs."""
        return outputs

    def finish(self, module: nn.Module) -> nn.Module:
        """The network as it is."""
        return module

    def agreement(self: Task, answers: LabelArray, others: LabelArray) -> float:
        """The share of samples that are told alike."""
        return 1 - float(self.unlike(answers, others).mean())

    def shown(self, image: NDArray[np.uint8], label: Any, answer: Any) -> NDArray[np.uint8]:
        """The image."""
        return image

    def plain(self, probabilities: Answers) -> Answers:
        """The probabilities."""
        return probabilities

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """Every metric by name."""
        raise NotImplementedError

    def score(self, answers: Answers, labels: LabelArray) -> float:
        """The first metric, which counts as 0 below 0."""
        return max(0.0, self.metrics(answers, labels)[self.metric.name])

    def scorer(self, answers: Answers, labels: LabelArray) -> Callable[[NDArray[np.int64]], float]:
        """`score` of a selection."""
        return lambda places: self.score(answers[places], labels[places])

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """The label of each output."""
        return {"label": dict(zip(names, np.atleast_1d(label).astype(float).tolist(), strict=True))}


def last_linear(module: nn.Module, n_outputs: int) -> nn.Linear:
    """The linear layer that a network ends with; HwnasError where none of so many outputs does."""
    from torch import nn

    last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1:]
    if not last or last[0].out_features != n_outputs:
        raise HwnasError(f"the network does not end with a linear layer of {n_outputs} outputs")
    return last[0]


def rarest_parts(
    there: NDArray[np.bool_], names: Sequence[str], none: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Parts by the rarest of what a sample has, so that every split gets some of the rare.

    there: (n, k), what each sample has. none: the name of the part that has nothing.
    """
    rank = np.argsort(np.argsort(there.sum(axis=0), kind="stable"), kind="stable")  # 0 for the rarest
    rarest = np.where(there, rank, len(names)).argmin(axis=1)
    keys = np.where(there.any(axis=1), rarest, len(names)).astype(np.int64)
    return parts(keys, [*names, none])


def parts(keys: NDArray[np.int64], names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Parts of at least `FEWEST` samples; the rest is one part, joined to the largest where it is small.

    keys: (n,) an index into names.
    """
    counts = np.bincount(keys, minlength=len(names))
    large = np.flatnonzero(counts >= FEWEST)
    if not len(large):
        return ("all",), np.zeros(len(keys), np.int64)
    kept = [names[i] for i in large.tolist()]
    place = np.full(len(names), len(large), np.int64)
    place[large] = np.arange(len(large))
    if counts.sum() - counts[large].sum() < FEWEST:
        place[place == len(large)] = int(counts[large].argmax())
        return tuple(kept), place[keys]
    return (*kept, "others"), place[keys]
