"""What is done for a supernet where a part of the data lies: some passes of single paths over its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from hwnas import supernets
from hwnas.costs.cost_model import CostModel
from hwnas.data import Augment, Batches
from hwnas.executors import TaskContext
from hwnas.gradient.warmup import Warmup, WarmupSettings
from hwnas.networks.modes import state_of
from hwnas.spaces import load_space
from hwnas.training.state_file import read_safetensors
from targets.checksummed import write_checksummed
from targets.files import sha256, write_atomic

from .local import RESULT, WEIGHTS, part_data, part_seed

if TYPE_CHECKING:
    from hwnas.core.network_space import NetworkSpace
    from hwnas.data import Data

TRAINED = "trained."
"""Begins the names of the tensors that count the images by which weights were trained."""


def size_of_part(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """How many training images the part has, and how many steps a pass over them is."""
    batches = _batches(part_data(document, context.place), document)
    facts = {"n_train": batches.steps_per_epoch * batches.batch_size, "steps": batches.steps_per_epoch}
    write_checksummed(folder / RESULT, facts)


def train_part(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """The local epochs of one round."""
    torch.set_num_threads(1)
    data, space = part_data(document, context.place), load_space(**document["space"])
    supernet, path = supernets.make(space), Path(document["weights"])
    supernet.load_state_dict(read_safetensors(path.read_bytes(), path))
    facts, trained = local_paths(
        supernet,
        space,
        data,
        _batches(data, document),
        seed=part_seed(document),
        epochs=range(*document["epochs"]),
        n_epochs=document["n_epochs"],
        on_step=context.on_step,
    )
    raw = save(state_of(supernet) | {f"{TRAINED}{name}": counts for name, counts in trained.items()})
    write_atomic(folder / WEIGHTS, raw)
    write_checksummed(folder / RESULT, {**facts, "weights_sha256": sha256(raw)})


def local_paths(
    supernet: nn.Module,
    space: NetworkSpace,
    data: Data,
    batches: Batches,
    *,
    seed: int,
    epochs: range,
    n_epochs: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Train `supernet` in place by uniform single paths for some of `n_epochs` passes over `batches`.

    seed: of the paths, so that each part draws its own and a round trains more architectures. Returns the
    facts of the round, and by how many images each number of each parameter was trained (int32): by those of
    the steps in which it had a gradient.
    """
    each = batches.steps_per_epoch
    settings = WarmupSettings(steps=n_epochs * each, epoch_steps=len(epochs) * each, seed=seed)
    costs = CostModel(space)
    warmup = Warmup(
        space, supernet, batches, settings, macs=lambda archs: costs.of(archs)["macs"], task=data.task
    )
    first, total = epochs.start * each, len(epochs) * each
    trained = {
        name: torch.zeros_like(p, dtype=torch.int32, memory_format=torch.contiguous_format)
        for name, p in warmup.supernet.named_parameters()
    }

    def count(*unused: Any) -> None:
        for name, p in warmup.supernet.named_parameters():
            if p.grad is not None:
                trained[name] += (p.grad != 0).int() * batches.batch_size

    warmup.weights.sgd.register_step_pre_hook(count)
    warmup.loop.step = first
    warmup.run(until=first + total, on_step=lambda step: on_step(step - first, total))
    row = warmup.log[-1]
    facts = {
        "n_train": total // len(epochs) * batches.batch_size,
        "steps": total,
        "train_loss": row["train_loss"],
        "train_accuracy": row["train_accuracy"],
    }
    return facts, trained


def _batches(data: Data, document: Mapping[str, Any]) -> Batches:
    return Batches(data, "train", document["batch_size"], part_seed(document), Augment.for_data(data))
