"""One head among several: which columns it learns, by which task, and where its numbers stand among all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from targets.errors import UsageError, did_you_mean

from .task import Answers, LabelArray, LabelTable, Task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class TaskHead:
    """A head.

    name: the column that it learns, or the first of them. columns: of the table.
    task: that it learns. weight: of its loss.
    outputs: their names, once labels were read; `first` of them among the outputs of all heads.
    label_at, label_width: where its labels stand among all; `numbered`: whether they are numbers of classes.
    """

    name: str
    columns: tuple[str, ...]
    task: Task
    weight: float = 1.0
    outputs: tuple[str, ...] = ()
    first: int = 0
    label_at: int = 0
    label_width: int = 0
    numbered: bool = False

    def read(self, table: LabelTable, first: int, label_at: int) -> tuple[TaskHead, LabelArray]:
        """The head with what its labels tell, and these as (n, k) float32."""
        places = [self._place(table, column) for column in self.columns]
        cells = [tuple(row[place] for place in places) for row in table.cells]
        if not self.task.many_columns and (empty := [i for i, row in enumerate(cells) if "" in row]):
            names = ", ".join(table.samples[i] for i in empty[:3])
            raise UsageError(
                f"{table.source}: {self.name!r} of {len(empty)} samples is empty, as of {names}; fill it or "
                "remove the rows: every head learns from every sample"
            )
        labels = self.task.read(LabelTable(table.source, self.columns, cells, table.samples))
        values = np.asarray(labels.values, np.float32).reshape(len(cells), -1)
        bound = replace(
            self,
            outputs=labels.names,
            first=first,
            label_at=label_at,
            label_width=values.shape[1],
            numbered=labels.values.ndim == 1,
        )
        return bound, values

    def _place(self, table: LabelTable, column: str) -> int:
        lower = [name.lower() for name in table.columns]
        if column.lower() not in lower:
            raise UsageError(
                f"{table.source}: --task names the column {column!r}, which is no label column; "
                f"{did_you_mean(column, table.columns)}"
            )
        return lower.index(column.lower())

    @property
    def words(self) -> tuple[str, ...]:
        """The names of its outputs among those of all heads."""
        if self.outputs == (self.name,):
            return self.outputs
        return tuple(f"{self.name}: {name}" for name in self.outputs)

    def of_outputs(self, outputs: Answers) -> Answers:
        """Its columns of the outputs of all heads, (n, k)."""
        return outputs[:, self.first : self.first + len(self.outputs)]

    def of_labels(self, labels: LabelArray) -> LabelArray:
        """Its labels as its task has them, (n,) or (n, k)."""
        mine = labels[:, self.label_at : self.label_at + self.label_width]
        return mine[:, 0].astype(np.int64) if self.numbered else mine

    def loss(self, outputs: Tensor, labels: Tensor, smoothing: float, reduction: str) -> Tensor:
        """That of its task."""
        return self.task.loss(*self._tensors(outputs, labels), smoothing, reduction)

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """That of its task."""
        return self.task.right(*self._tensors(outputs, labels))

    def _tensors(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        mine = labels[:, self.label_at : self.label_at + self.label_width]
        return cast(Any, self.of_outputs(cast(Any, outputs))), mine[:, 0].long() if self.numbered else mine

    def finish(self, layer: nn.Linear) -> None:
        """Write into its rows of the last layer, in place, what its task changes at the end."""
        import torch
        from torch import nn

        rows = slice(self.first, self.first + len(self.outputs))
        own = nn.Linear(layer.in_features, len(self.outputs))
        with torch.no_grad():
            own.weight.copy_(layer.weight[rows])
            own.bias.copy_(layer.bias[rows])
            self.task.finish(nn.Sequential(own))
            layer.weight[rows], layer.bias[rows] = own.weight, own.bias
