"""What the searchers answer: plain values, units in their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    architecture: the published form where the space has one (a Genotype, a string of NAS-Bench-201), else the
    key. key: of its space, which every command reads. val_accuracy: of the shared weights on one validation
    batch after the last epoch, not that of the trained network. costs: of the network to be deployed, metrics
    as in `hwnas search --budget`. folder: train_stats.csv, alphas.npz, genotypes/, checkpoints/.
    """

    architecture: str
    key: str
    method: str
    search_space: str
    val_accuracy: float
    costs: Mapping[str, float]
    epochs: int
    folder: Path


@dataclass(frozen=True, slots=True)
class TrainedArchitecture:
    """A network trained from scratch. folder: weights, `model/` with the ONNX file.

    val_accuracy, test_accuracy: the objective of `task` in 0..1, of classes the accuracy.
    """

    architecture: str
    key: str
    val_accuracy: float
    test_accuracy: float
    costs: Mapping[str, float]
    epochs: int
    folder: Path
    task: str = "classification"

    @property
    def onnx(self) -> Path:
        """The exported file, checked against torch."""
        return self.folder / "model" / "model.onnx"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was asked for; None for the metrics that were not.

    accuracy: on the test split, 0..1. latency_ms: measured p50 on `target`. flops: two per multiply-add.
    """

    architecture: str
    dataset: str
    accuracy: float | None = None
    latency_ms: float | None = None
    flops: float | None = None
    macs: float | None = None
    params: float | None = None
    size_mb: float | None = None
    peak_memory_mb: float | None = None
    target: str | None = None
