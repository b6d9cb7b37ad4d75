"""What the verdict on a run needs beyond its front: the data, the training, the reach of the space."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.runs.search_run import SHORT_FOLDER
from hwnas.training.training_state import EpochStats

from .run_context import RunContext
from .training import finalists, read_final
from .trainings import short_job


def data_facts(context: RunContext) -> dict[str, Any]:
    """Images per split, and how many the most frequent class has of the test images."""
    data = context.data
    counts = {name: len(data.split(name)) for name in ("train", "val", "test")}
    most = int(np.bincount(data.labels[data.split("test")]).max())
    return {
        "name": data.name,
        "n_classes": data.n_classes,
        "image_size": data.image_size,
        **{f"n_{name}": n for name, n in counts.items()},
        "majority_share_test": most / counts["test"],
    }


def training_facts(context: RunContext, arch_id: str) -> dict[str, Any] | None:
    """How the network was trained, its short training included; None where that is not known."""
    network = next((n for n in finalists(context) if n.arch_id == arch_id), None)
    trained = None if network is None else read_final(context, network, context.config.seed)
    if network is None or trained is None or not trained.epochs:
        return None
    before = 0
    if trained.job.start is not None:
        short = short_job(context, arch_id, network.network, context.config.seed)
        before = _steps_of(context, short.recipe) if short.folder(context.path / SHORT_FOLDER).exists() else 0
    epochs = trained.epochs
    return {
        "epochs": len(epochs) + (context.counts.eval_epochs if before else 0),
        "steps": epochs[-1].step + before,
        "train_accuracy": epochs[-1].train_accuracy,
        "last_quarter_fall": last_quarter_fall(epochs),
    }


def _steps_of(context: RunContext, recipe: Any) -> int:
    steps_per_epoch = max(1, len(context.data.split("train")) // int(recipe["batch_size"]))
    return int(recipe["epochs"]) * steps_per_epoch


def last_quarter_fall(epochs: tuple[EpochStats, ...]) -> float | None:
    """The share of its loss that a training lost in its last quarter; None for fewer than four epochs."""
    if len(epochs) < 4:
        return None
    before = epochs[len(epochs) - 1 - len(epochs) // 4].train_loss
    return 1 - epochs[-1].train_loss / before if before > 0 else 0.0


def largest_costs(context: RunContext) -> dict[str, float]:
    """What the most costly network of the space needs, in every metric that has a budget."""
    return {b.metric: context.costs.maximum(b.metric) for b in context.budgets}
