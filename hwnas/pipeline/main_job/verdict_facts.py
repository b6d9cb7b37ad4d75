"""What the verdict on a run needs beyond its front: the data, the training, the reach of the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.runs.search_run import SHORT_FOLDER
from hwnas.training.training_state import EpochStats

from .continuation import EARLIER
from .run_context import RunContext
from .training import finalists, read_finals
from .trainings import short_job


def data_facts(context: RunContext) -> dict[str, Any]:
    """Images per split, and what needs no network: how it scores on the test images."""
    data = context.data
    counts = {name: len(data.split(name)) for name in ("train", "val", "test")}
    what, score = data.task.trivial(data.labels[data.split("train")], data.labels[data.split("test")])
    trivial = {"majority_share_test": score} if data.task.metric.counted else {"trivial_test": score}
    return {
        "name": data.name,
        "kind": data.kind.name,
        "n_classes": data.n_classes,
        "image_size": data.image_size,
        **{f"n_{name}": n for name, n in counts.items()},
        "images_per_class": data.images_per_class,
        **trivial,
        "trivial": what,
    }


def training_facts(context: RunContext, arch_id: str) -> dict[str, Any] | None:
    """How the network was trained, what it went on from included; None where that is not known."""
    network = next((n for n in finalists(context) if n.arch_id == arch_id), None)
    finals = [] if network is None else read_finals(context, network, context.config.seed)
    courses = [trained.epochs for trained in finals]
    if network is None or not courses or not all(courses):
        return None
    epochs, before = courses[-1], _before(context, arch_id, network.network)
    return {
        "epochs": sum(map(len, courses)) + before["epochs"],
        "steps": sum(course[-1].step for course in courses) + before["steps"],
        "train_accuracy": epochs[-1].train_accuracy,
        "last_quarter_fall": last_quarter_fall(epochs),
    }


def _before(context: RunContext, arch_id: str, network: Mapping[str, Any]) -> dict[str, int]:
    """Epochs and steps of what a final training went on from; all networks of a run are trained alike."""
    if context.config.continue_from is not None:
        known = context.result(EARLIER)["training"] or {}
        return {name: int(known.get(name, 0)) for name in ("epochs", "steps")}
    short = short_job(context, arch_id, network, context.config.seed) if context.trains else None
    if short is None or not short.folder(context.path / SHORT_FOLDER).exists():
        return {"epochs": 0, "steps": 0}
    steps_per_epoch = max(1, len(context.data.split("train")) // int(short.recipe["batch_size"]))
    epochs = context.eval_epochs[-1]
    return {"epochs": epochs, "steps": epochs * steps_per_epoch}


def last_quarter_fall(epochs: tuple[EpochStats, ...]) -> float | None:
    """The share of its loss that a training lost in its last quarter; None for fewer than four epochs."""
    if len(epochs) < 4:
        return None
    before = epochs[len(epochs) - 1 - len(epochs) // 4].train_loss
    return 1 - epochs[-1].train_loss / before if before > 0 else 0.0


def largest_costs(context: RunContext) -> dict[str, float]:
    """What the most costly network of the space needs, in every metric that has a budget."""
    return {b.metric: context.costs.maximum(b.metric) for b in context.budgets}
