"""What is done where a part of the data lies: some epochs from the weights of all, the score of a network.

Nothing but weights, counts and figures leaves: a task gets weights as a safetensors file, and gives back such
a file and a JSON result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hwnas.data import Batches, eval_batches
from hwnas.executors import TaskContext
from hwnas.networks.cells import CellNetwork
from hwnas.networks.depthwise import fast_depthwise
from hwnas.networks.modes import safetensors_bytes
from hwnas.training.build import build_network
from hwnas.training.loss import TrainingLoss
from hwnas.training.recipe import Recipe
from hwnas.training.state_file import read_safetensors
from hwnas.training.tasks import located
from hwnas.training.train import changes_of, eval_batch, own_rng, score
from hwnas.training.training_job import data_of
from hwnas.training.training_state import TrainingState
from targets.checksummed import write_checksummed
from targets.errors import UsageError
from targets.files import sha256, write_atomic

if TYPE_CHECKING:
    from hwnas.data import Data

RESULT, WEIGHTS = "result.json", "weights.safetensors"


def train_part(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """The local epochs of one round."""
    module, data = _prepared(document, context.place)
    recipe, epochs = Recipe(**document["recipe"]), range(*document["epochs"])
    facts = local_epochs(module, data, recipe, part_seed(document), epochs, on_step=context.on_step)
    raw = safetensors_bytes(module)
    write_atomic(folder / WEIGHTS, raw)
    write_checksummed(folder / RESULT, {**facts, "weights_sha256": sha256(raw)})


def score_part(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """How good a network is on the test images of the part."""
    module, data = _prepared(document, context.place)
    test, _ = score(module, eval_batches(data, "test", eval_batch(data.area)), data.task)
    write_checksummed(folder / RESULT, {"test_accuracy": test, "n_test": len(data.split("test"))})


def local_epochs(
    module: nn.Module,
    data: Data,
    recipe: Recipe,
    seed: int,
    epochs: range,
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Train `module` in place for some of the epochs of `recipe`; how many images it saw, and its losses.

    The learning rate is that of these epochs in the whole training. Momentum begins anew, as in the paper.
    """
    batches = Batches(
        data, "train", recipe.batch_size, seed, changes_of(recipe, data),
        balanced=recipe.balance == "sampling",
    )  # fmt: skip
    module.to(memory_format=torch.channels_last)
    per_epoch = batches.steps_per_epoch
    loss_of = TrainingLoss(recipe, data, seed, None)
    state = TrainingState(module, recipe, seed, recipe.epochs * per_epoch, loss_of)
    losses, hits, total = [], 0.0, len(epochs) * per_epoch
    for epoch in epochs:
        if isinstance(module, CellNetwork):
            module.drop_path = recipe.drop_path_at(epoch)
        with own_rng([seed, epoch], torch.device("cpu")), fast_depthwise(module):
            for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
                loss, right = state.step(step, *batches.at(step))
                losses.append(loss)
                hits += right
                on_step(len(losses), total)
    return {
        "n_train": len(data.split("train")),
        "steps": total,
        "train_loss": float(np.mean(losses)),
        "train_accuracy": hits / (total * batches.batch_size),
    }


def part_seed(document: Mapping[str, Any]) -> int:
    """Of a part, so that no two draw the same."""
    text = f"{document['seed']} {document['part']}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def as_part(data: Data, shape: Mapping[str, Any]) -> Data:
    """The images of a part with the classes and the normalisation of all; UsageError where they do not fit.

    shape: as `shape_of` gives it.
    """
    strange = sorted(set(data.class_names) - set(shape["class_names"]))
    if strange:
        raise UsageError(f"it has the classes {', '.join(map(repr, strange[:5]))}, which --data has not")
    if list(data.sample_shape) != list(shape["sample_shape"]):
        raise UsageError(f"its samples are {data.sample_shape}, and those of --data {shape['sample_shape']}")
    numbers = np.array([shape["class_names"].index(name) for name in data.class_names], np.int64)
    return replace(
        data,
        class_names=tuple(shape["class_names"]),
        labels=numbers[data.labels],
        mean=tuple(shape["mean"]),
        std=tuple(shape["std"]),
        flip=shape["flip"],
        centred=shape["centred"],
    )


def shape_of(data: Data) -> dict[str, Any]:
    """What all parts take over from the images of whoever leads, as JSON."""
    return {
        "class_names": list(data.class_names),
        "sample_shape": list(data.sample_shape),
        "mean": list(data.mean),
        "std": list(data.std),
        "flip": data.flip,
        "centred": data.centred,
    }


def part_data(document: Mapping[str, Any], place: Mapping[str, Any]) -> Data:
    """The images of the part. document: of a task."""
    spec = document["data"]
    return as_part(data_of({**spec, **located(spec, place)}), document["shape"])


def _prepared(document: Mapping[str, Any], place: Mapping[str, Any]) -> tuple[nn.Module, Data]:
    """The network with its weights, and the images of the part."""
    torch.set_num_threads(1)
    module, data = build_network(document["network"]), part_data(document, place)
    path = Path(document["weights"])
    module.load_state_dict(read_safetensors(path.read_bytes(), path))
    return module, data
