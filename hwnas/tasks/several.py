"""Several tasks at once: one trunk with a head for each, from several label columns of one table.

The heads share the last linear layer, each has rows of its own; an exported file gives an output for each.

[1] Kendall, Gal and Cipolla 2018, Multi-task learning using uncertainty to weigh losses, section 3: with the
    noise s_i of each head learned, the sum of L_i / (2 s_i²) + log s_i is minimised.
[2] Kirchdorfer et al. 2024, Analytical uncertainty-based loss weighting: for fixed losses the best s_i² is
    L_i, so that each head counts by the logarithm of its loss. Here that is taken batch by batch, so that
    nothing but the network is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .heads import TaskHead
from .plain import PlainTask, last_linear
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Reading, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

_LEAST = 1e-6
"""Added to a loss before its logarithm."""


@dataclass(frozen=True)
class Several(PlainTask):
    """spelling: as `several_named` reads it. uncertain: whether heads are weighed by uncertainty [1].

    objective: the head whose score is that of the task; empty for the mean of all scores.
    """

    spelling: str
    heads: tuple[TaskHead, ...]
    uncertain: bool = False
    objective: str = ""

    does = "several tasks at once, a head for each"
    pixel_models = ()
    readable = Readable(
        "heads", 0.0, None, "answer", "Answers", "a network of several heads", "output", "the answers"
    )

    @property
    def name(self) -> str:
        """The spelling."""
        return self.spelling

    @property
    def metric(self) -> Metric:
        """The mean of the scores of all heads, or that of one."""
        if not self.objective:
            return Metric("meanscore", "mean score of the heads")
        (head,) = (head for head in self.heads if head.name == self.objective)
        return replace(head.task.metric, name="headscore", label=f"{head.name} {head.task.metric.label}")

    @property
    def mirror(self) -> bool:
        """Whether all heads bear it."""
        return all(head.task.mirror for head in self.heads)

    @property
    def weighs(self) -> bool:
        """Whether some head does."""
        return any(head.task.weighs for head in self.heads)

    @property
    def smooths(self) -> bool:
        """Whether some head does."""
        return any(head.task.smooths for head in self.heads)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of all heads."""
        return tuple(column for head in self.heads for column in head.columns)

    @property
    def file_outputs(self) -> Mapping[str, tuple[str, ...]]:
        """An output of a file for each head."""
        return {head.name: head.outputs for head in self.heads}

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Of each head."""
        return tuple(head.task.readable.reading for head in self.heads)

    def read(self, table: LabelTable) -> Labels:
        """The labels of all heads side by side, and the task that knows where each stands."""
        heads: list[TaskHead] = []
        values: list[LabelArray] = []
        for head in self.heads:
            label_at = sum(part.shape[1] for part in values)
            bound, part = head.read(table, sum(len(h.outputs) for h in heads), label_at)
            heads.append(bound)
            values.append(part)
        names = tuple(word for head in heads for word in head.words)
        return Labels(names, np.concatenate(values, axis=1), replace(self, heads=tuple(heads)))

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """Every head can learn."""
        for head in self.heads:
            head.task.check(f"{source}, {head.name}", head.outputs, head.of_labels(labels), trained)

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Those of the first head."""
        head = self.heads[0]
        return head.task.strata(head.outputs, head.of_labels(labels))

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """What is counted of each head."""
        return [
            (part if head.words == head.outputs else f"{head.name}: {part}", there)
            for head in self.heads
            for part, there in head.task.members(head.outputs, head.of_labels(labels))
        ]

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """What each head says."""
        return [
            f"{head.name}: {note}"
            for head in self.heads
            for note in head.task.notes(head.outputs, head.of_labels(labels))
        ]

    def fitted(self, labels: LabelArray) -> Task:
        """With what each head takes from the training labels."""
        return self._with([head.task.fitted(head.of_labels(labels)) for head in self.heads])

    def balanced(self, labels: LabelArray) -> Task:
        """With the heads balanced that can be."""
        return self._with(
            [
                head.task.balanced(head.of_labels(labels)) if head.task.weighs else head.task
                for head in self.heads
            ]
        )

    def _with(self, tasks: Sequence[Task]) -> Task:
        heads = [replace(head, task=task) for head, task in zip(self.heads, tasks, strict=True)]
        return replace(self, heads=tuple(heads))

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """The weighted mean of the losses; with uncertainty the mean of their logarithms [2].

        How uncertain a head is, labels tell as they are: smoothed ones leave a loss that nothing takes off.
        """
        losses = [head.loss(outputs, labels, smoothing, reduction) for head in self.heads]
        weights = [head.weight for head in self.heads]
        if self.uncertain:
            noises = [head.loss(outputs, labels, 0.0, reduction).detach() + _LEAST for head in self.heads]
            losses = [
                noise.log() + (each - each.detach()) / noise
                for each, noise in zip(losses, noises, strict=True)
            ]
        total = sum(
            (weight * each for weight, each in zip(weights, losses, strict=True)), start=outputs.new_zeros(())
        )
        return total / sum(weights)

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean over the heads."""
        shares = (head.right(outputs, labels) / len(self.heads) for head in self.heads)
        return sum(shares, start=outputs.new_zeros(()))

    def answers(self, outputs: Answers) -> Answers:
        """Of each head."""
        return np.concatenate([head.task.answers(head.of_outputs(outputs)) for head in self.heads], axis=1)

    def finish(self, module: nn.Module) -> nn.Module:
        """What each head changes, in its rows of the last linear layer."""
        import torch
        from torch import nn

        layer = last_linear(module, sum(len(head.outputs) for head in self.heads))
        if getattr(layer, "bias", None) is None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_features))
        for head in self.heads:
            head.finish(layer)
        return module

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """The objective, and every metric of each head as `head.metric`."""
        scores = {h.name: h.task.score(h.of_outputs(answers), h.of_labels(labels)) for h in self.heads}
        of_heads = {
            f"{head.name}.{name}": value
            for head in self.heads
            for name, value in head.task.metrics(head.of_outputs(answers), head.of_labels(labels)).items()
        }
        objective = scores[self.objective] if self.objective else float(np.mean(list(scores.values())))
        return {self.metric.name: objective, **of_heads}

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Where any head tells otherwise."""
        parts = [head.task.unlike(head.of_outputs(answers), head.of_outputs(others)) for head in self.heads]
        differ: NDArray[np.bool_] = np.any(parts, axis=0)
        return differ

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """Where all heads are good, the product of their margins."""
        parts = [head.task.margin(head.of_outputs(answers), head.of_labels(labels)) for head in self.heads]
        product: NDArray[np.float64] = np.prod(parts, axis=0)
        return product

    def outputs_in_words(self, n: int) -> str:
        """Heads and outputs."""
        named = ", ".join(f"{head.name}: {head.task.does}" for head in self.heads)
        return f"{len(self.heads)} heads with {n} outputs ({named})"

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """The label of each head."""
        row = np.asarray(label)[None]
        return {"heads": {h.name: h.task.golden(h.outputs, h.of_labels(row)[0]) for h in self.heads}}

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """What needs no network, head by head."""
        parts = {h.name: h.task.trivial(h.of_labels(trained), h.of_labels(tested)) for h in self.heads}
        if self.objective:
            return parts[self.objective]
        words = "; ".join(f"{name}: {words}" for name, (words, _) in parts.items())
        return f"of each head the best constant answer ({words})", float(
            np.mean([score for _, score in parts.values()])
        )

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """That of each head, and all metrics."""
        heads = {
            head.name: head.task.quality(
                head.of_outputs(answers), head.of_labels(labels), head.outputs, probabilities=False
            )
            for head in self.heads
        }
        return {"heads": heads, **self.metrics(answers, labels)}

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """The rows and sentences of each head."""
        rows: list[tuple[str, ...]] = []
        sentences: list[str] = []
        for head, told in zip(self.heads, quality["heads"].values(), strict=True):
            heading, found, said = head.task.card(told)
            rows += [
                (head.name, row[0], "; ".join(f"{n} {c}" for n, c in zip(heading[1:], row[1:], strict=True)))
                for row in found
            ]
            sentences += [f"{head.name}: {sentence}" for sentence in said]
        return ("head", "of", "figures"), rows, sentences

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """The rows of the card."""
        quality = self.quality(answers, labels, names, probabilities=False)
        _, rows, _ = self.card(quality)
        return {
            "table": {"head": ["Head", "Of", "Figures"], "rows": [list(row) for row in rows]},
            "n": len(labels),
        }

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """The samples that come early among the worst of the heads."""
        blame = np.zeros(len(labels))
        for head in self.heads:
            places = head.task.worst(head.of_outputs(answers), head.of_labels(labels))
            blame[places] += 1 / (1 + np.arange(len(places)))
        order = np.argsort(-blame, kind="stable").astype(np.int64)
        worst: NDArray[np.int64] = order[blame[order] > 0]
        return worst

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """Label and answer of each head."""
        row, true = np.asarray(answer)[None], np.asarray(label)[None]
        parts = {
            h.name: h.task.told(h.of_outputs(row)[0], h.of_labels(true)[0], h.outputs) for h in self.heads
        }
        return {
            key: "; ".join(f"{name} {told[key]}" for name, told in parts.items())
            for key in ("label", "answer")
        }
