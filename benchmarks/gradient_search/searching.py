"""One search and one training, as all parts do them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.costs.cost_model import CostModel
from hwnas.data import Augment, Batches, Data, eval_batches, load_data
from hwnas.gradient.method import Method
from hwnas.gradient.parts.decoders import IDENTITIES
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage_supernets import stage_supernets
from hwnas.spaces import load_space
from hwnas.spaces.cells import CellSpace
from hwnas.training.recipe import Recipe
from hwnas.training.train import eval_batch, score, train
from targets.errors import UsageError

_LOG_ROWS = 12
"""Rows in the log of a search."""


def images(folder: Path, image_size: int, out: Path) -> Data:
    """The images of a subset; decoded once, below `out`."""
    return load_data(str(folder), image_size, 0, root=out)


def cell_space(name: str, data: Data, cells: int, channels: int) -> CellSpace:
    """A space of cells for such images; cells, channels: of the networks that are trained in the end."""
    shape: dict[str, Any] = {
        "image_size": data.image_size,
        "in_channels": data.in_channels,
        "n_classes": data.n_classes,
    }
    made = load_space(name, **shape, cells=cells, channels=channels)
    if not isinstance(made, CellSpace):
        raise UsageError(f"space {name} has no cells; choose nasbench201 or darts")
    return made


def search(
    space: CellSpace,
    data: Data,
    method: Method,
    *,
    cells: int,
    channels: int,
    steps: int,
    batch: int,
    seed: int,
) -> GradientSearch:
    """A finished search: weights on the train split, the policy on the validation split, no budgets."""
    train, val = (Batches(data, s, batch, seed * 16 + 2, Augment.for_data(data)) for s in ("train", "val"))
    supernets = stage_supernets(space, replace(space.search_scale, cells=cells, channels=channels))
    settings = SearchSettings(steps, max(1, steps // _LOG_ROWS), seed, ranked=0)
    made = GradientSearch(space, supernets, CostModel(space), (), method, train, val, settings)
    made.run()
    return made


def found(made: GradientSearch, arch: Arch) -> dict[str, Any]:
    """Columns that say what a search found and how it went."""
    log = made.log
    return {
        "arch": made.space.to_string(arch),
        "skips": skips(made.space, arch),
        "skips_per_epoch": [row["skips"] for row in log],
        "train_loss": [log[0]["train_loss"], log[-1]["train_loss"]],
        "val_accuracy": log[-1]["val_accuracy"],
        "entropy": log[-1]["entropy"],
        "probabilities": {k: np.exp(v[-1]).round(3).tolist() for k, v in made.alphas().items()},
        "arch_lr": made.arch_optimizer.param_groups[0]["lr"],
    }


def skips(space: Space, arch: Arch) -> int:
    """Edges of an architecture that pass their input on."""
    return sum(c.options[k] in IDENTITIES for c, k in zip(space.choices, arch, strict=True))


def recipe(epochs: int, batch: int) -> Recipe:
    """Of every cell that is trained from scratch."""
    return Recipe(epochs, batch, lr=0.1, weight_decay=3e-4, label_smoothing=0.0, clip=5.0)


def trained(space: CellSpace, arch: Arch, data: Data, how: Recipe, seed: int) -> dict[str, Any]:
    """Columns of a network, as deployed, trained from scratch; the test split is read once, at the end."""
    module = space.build(arch)
    result = train(module, data, how, seed)
    accuracy, _ = score(module, eval_batches(data, "test", eval_batch(data.area)))
    costs = {metric: float(values[0]) for metric, values in CostModel(space).of([arch]).items()}
    return {
        "arch": space.to_string(arch),
        "skips": skips(space, arch),
        "val_accuracy": result.val_accuracy,
        "test_accuracy": accuracy,
        "train_loss": result.epochs[-1].train_loss,
        **{k: costs[k] for k in ("params", "macs")},
    }
