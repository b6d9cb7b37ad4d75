"""A task that nobody knew before: what it takes is in this file, and all the rest works with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from hwnas.data import load_data
from hwnas.exporting.export import export_model, onnx_accuracy
from hwnas.spaces import load_space
from hwnas.tasks import TASKS, Labels, LabelTable, Metric
from hwnas.tasks.multilabel import MultiLabel
from hwnas.training.recipe import Recipe
from hwnas.training.train import train


@dataclass(frozen=True)
class Ordinal(MultiLabel):
    """Grades 0..k as k answers to "is it above?": decided one by one, scored by the exact grade."""

    name = "ordinal"
    does = "a grade per image"
    metric = Metric("exact", "exact grades", counted=True)
    many_columns = False

    def read(self, table: LabelTable) -> Labels:
        grades = np.array([int(cells[0]) for cells in table.cells])
        above = np.arange(grades.max())
        return Labels(tuple(f"above {i}" for i in above), (grades[:, None] > above).astype(np.float32))

    def loss(
        self, outputs: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(outputs, labels, reduction=reduction)

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        return {"exact": float(((answers > 0).sum(1) == labels.sum(1)).mean())}

    def trivial(self, trained: Any, tested: Any) -> tuple[str, float]:
        return "the most frequent grade alone", float(
            np.bincount(tested.sum(1).astype(int)).max() / len(tested)
        )

    def outputs_in_words(self, n: int) -> str:
        return f"{n + 1} grades"


@pytest.fixture
def ordinal() -> Iterator[Ordinal]:
    task = Ordinal()
    with TASKS.lent(task.name, task):
        yield task


def write(folder: Path, grades: Sequence[int]) -> Path:
    """Images as bright as their grade."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, grade in enumerate(grades):
        noise = rng.integers(0, 40, (16, 16, 3))
        Image.fromarray((60 * grade + noise).astype(np.uint8)).save(folder / f"{i:03d}.png")
    rows = [f"{i:03d}.png,{grade}" for i, grade in enumerate(grades)]
    (folder / "grades.csv").write_text("\n".join(["file,label", *rows]))
    return folder / "grades.csv"


@pytest.mark.slow
def test_a_toy_task_is_read_trained_scored_and_exported(ordinal: Ordinal, tmp_path: Path) -> None:
    table = write(tmp_path / "photos", [i % 4 for i in range(120)])
    data = load_data(str(table), 16, 0, root=tmp_path, task="ordinal")
    assert data.task is ordinal and data.class_names == ("above 0", "above 1", "above 2")
    space = load_space("mobile", image_size=16, in_channels=3, n_classes=3)
    module = space.build(space.sample(np.random.default_rng(0)))
    result = train(module, data, Recipe(epochs=15, batch_size=8, lr=0.05), seed=0)
    exported = export_model(
        ordinal.finish(module), data, tmp_path / "model", arch_id="toy", network={}, dot=""
    )
    score = onnx_accuracy(exported.onnx, data, "val")
    assert score.accuracy == pytest.approx(result.val_accuracy)
    assert score.accuracy > ordinal.trivial(data.labels, score.labels)[1] + 0.3
    assert exported.manifest["task"] == "ordinal"
