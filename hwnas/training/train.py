"""Training from scratch: one recipe for the picks of a search and for everything they are compared with.

The numbers of the recipe stand in `recipe`; this is the loop. It does not read the test split.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.distributed.ranks import ALONE, Ranks
from hwnas.distributed.synced_norm import synced_norms
from hwnas.gradient.step.optim import require_finite
from hwnas.networks.cells import CellNetwork
from hwnas.networks.depthwise import fast_depthwise
from hwnas.networks.modes import evaluating
from hwnas.tasks import CLASSIFICATION, Task
from targets.errors import UsageError

from .initial_weights import begin
from .loss import Teacher, TrainingLoss
from .recipe import Recipe
from .training_state import EpochStats, TrainingState

if TYPE_CHECKING:
    from hwnas.core.samples import SampleKind
    from hwnas.data import Data
    from hwnas.data.batches import Batch, Changes

EVAL_BATCH = 256
"""Images of up to 32 px that are scored together. Fixed, so that an accuracy does not depend on who asks."""


_GOES_ON = 0x60E5
"""Changes the seed of the batches of a training that goes on from weights."""


def eval_batch(area: int) -> int:
    """Samples scored together: `EVAL_BATCH`, and above 32 × 32 values as many as make no more, at least 8."""
    return min(EVAL_BATCH, max(8, EVAL_BATCH * 32**2 // area))


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The result of a training; the weights are in the module.

    val_accuracy: the score by the task of the data, of classification the accuracy.
    val_scores: by the other scores of the task.
    """

    val_accuracy: float
    val_loss: float
    val_scores: Mapping[str, float]
    epochs: tuple[EpochStats, ...]


class Saver(Protocol):
    """Where a training keeps its state."""

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep a state."""

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """The state kept last, as (step, tensors, JSON state); None before the first."""


def train(
    module: nn.Module,
    data: Data,
    recipe: Recipe,
    seed: int,
    *,
    start: Mapping[str, Tensor] | None = None,
    teacher: Teacher | None = None,
    device: str | torch.device = "cpu",
    on_step: Callable[[int, int], None] | None = None,
    saver: Saver | None = None,
    save_every_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    ranks: Ranks = ALONE,
) -> TrainResult:
    """Train `module` on the train split; score it on the validation split.

    A training that goes on from the state of `saver` ends with the same bits as one that never stopped.
    Raises DivergedError when the loss is no finite number.

    Args:
        module: the network; it is trained in place.
        data: its train split is learned from, its validation split scored.
        recipe: how to train.
        seed: of the weights, the batches and dropout.
        start: weights to begin with instead of those drawn with `seed`.
        teacher: whose answers are learned too, where the recipe distils.
        device: where to compute.
        on_step: called with (steps done, all steps) after each step; may raise.
        saver: keeps the state at the end of an epoch.
        save_every_s: seconds between two saved states, at least.
        clock: seconds, for tests.
        ranks: the processes that do it together; each of them calls this with the same arguments.
    """
    from hwnas.data import Batches, eval_batches

    # A training that goes on sees the images in another order than the one before it.
    stream = seed if start is None else seed ^ _GOES_ON
    batches = Batches(
        data, "train", recipe.batch_size, stream, changes_of(recipe, data), device,
        balanced=recipe.balance == "sampling", share=ranks.share,
    )  # fmt: skip
    begin(module, seed, start, residual_init=recipe.residual_init)
    module.to(device).to(memory_format=torch.channels_last)  # 1.4 to 1.7 × faster than nchw on a CPU
    loss_of = TrainingLoss(recipe, data, stream, teacher)
    run = TrainingState(module, recipe, seed, recipe.epochs * batches.steps_per_epoch, loss_of, ranks)
    if saver is not None:
        run.restore(saver.load())
    began, saved = clock() - run.seconds, clock()
    size = eval_batch(data.area)

    def validate() -> tuple[float, ...]:
        return ranks.of_first(
            lambda: scores(module, eval_batches(data, "val", size, device=device), data.task)
        )

    for epoch in range(len(run.epochs), recipe.epochs):
        if run.has_stopped:
            break
        steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
        losses, hits = [], 0.0
        if isinstance(module, CellNetwork):
            module.drop_path = recipe.drop_path_at(epoch)
        drawing = own_rng(ranks.seed(stream, epoch), torch.device(device))
        norms = synced_norms(ranks, batches.batch_size // ranks.world)
        with drawing, fast_depthwise(module), norms:
            for step in steps:
                x, y = batches.at(step)
                loss, right = run.step(step, x, y)
                losses.append(loss)
                hits += right
                if on_step is not None:
                    on_step(step + 1, run.total_steps)
        ranks.average_statistics(module)
        (hits,) = ranks.sums(hits)
        share = hits / (len(steps) * batches.batch_size)
        run.epochs.append(
            EpochStats(
                epoch=epoch,
                step=steps.stop,
                train_loss=float(np.mean(losses)),
                train_accuracy=share,
                seconds=clock() - began,
                val_accuracy=run.keep_best(validate) if recipe.patience else None,
            )
        )
        if saver is not None and ranks.is_first and clock() - saved >= save_every_s:
            saver.save(steps.stop, *run.state())
            saved = clock()
    run.finish()
    accuracy, loss, *others = validate()
    # The last step may have broken the weights: no loss after it has said so.
    require_finite(torch.tensor(loss), f"validation after {run.total_steps} steps with seed {seed}")
    more = dict(zip(data.task.scores, others, strict=True))
    return TrainResult(val_accuracy=accuracy, val_loss=loss, val_scores=more, epochs=tuple(run.epochs))


def changes_of(recipe: Recipe, data: Data) -> Changes | None:
    """How training images are changed: as suits the data, and by what the recipe adds; None of texts."""
    from hwnas.data import Augment
    from hwnas.data.photo_augment import PhotoAugment
    from hwnas.data.signal_augment import SignalAugment

    # Characters are centred and few: on digits shifts of one pixel train to 99.35 % in 10 epochs, and
    # `Augment.for_data`, which also turns and scales, to 99.0 % (test, three networks on three splits).
    centred = data.centred and not data.flip
    photo = recipe.auto_augment != "none" or recipe.crop or recipe.colour
    require_changes(recipe, data.name, data.kind)
    suited = Augment.for_data(data)
    if suited is None:
        return None
    base = replace(Augment(shift=1 / 32) if centred else suited, cutout=recipe.cutout)
    if not photo or isinstance(base, SignalAugment):
        return base
    return PhotoAugment(base=base, auto=recipe.auto_augment, crop=recipe.crop, colour=recipe.colour)


def require_changes(recipe: Recipe, name: str, kind: SampleKind) -> None:
    """UsageError where the recipe changes photos, and the samples of the data set `name` are none."""
    options = ("auto_augment", "crop", "colour", "cutmix")
    asked = [option for option in options if getattr(recipe, option) not in ("none", 0)]
    if asked and kind.dims < 2:
        raise UsageError(
            f"--{asked[0].replace('_', '-')} changes photos, as --recipe strong does, and {name} has "
            f"{kind.plural}; leave it out"
        )


def score(module: nn.Module, batches: Iterable[Batch], task: Task = CLASSIFICATION) -> tuple[float, float]:
    """Score (of classification the accuracy) and mean loss of `module` in eval mode."""
    value, loss, *_ = scores(module, batches, task)
    return value, loss


def scores(module: nn.Module, batches: Iterable[Batch], task: Task) -> tuple[float, ...]:
    """Score and mean loss of `module` in eval mode, then what it has by each other score of the task."""
    outputs = outputs_of(module, batches, task)
    answers = task.answers(outputs.kept)
    others = [task.scored_by(name).score(answers, outputs.labels) for name in task.scores]
    return (task.score(answers, outputs.labels), outputs.loss, *others)


MOST_OUTPUT_BYTES = 256_000_000
"""Outputs that are held at once; what is more is scored part by part, and the task keeps what it needs."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Of a network on some samples: what the task keeps of them, the labels (n, …), and the mean loss."""

    kept: NDArray[Any]
    labels: NDArray[Any]
    loss: float


def outputs_of(module: nn.Module, batches: Iterable[Batch], task: Task) -> Outputs:
    """The outputs of `module` in eval mode; at most `MOST_OUTPUT_BYTES` are held beside what is kept."""
    parts: list[Outputs] = []
    rows: list[tuple[Tensor, Tensor]] = []

    def close() -> None:
        outputs, labels = torch.cat([r[0] for r in rows]), torch.cat([r[1] for r in rows])
        loss = float(task.loss(outputs, labels))
        parts.append(Outputs(task.kept(outputs.numpy(), labels.numpy()), labels.numpy(), loss))
        rows.clear()

    with evaluating(module):
        for x, y in batches:
            rows.append((module(x).cpu(), y.cpu()))
            if sum(r[0].nbytes for r in rows) >= MOST_OUTPUT_BYTES:
                close()
    if rows:
        close()
    if len(parts) == 1:
        return parts[0]
    loss = float(np.average([p.loss for p in parts], weights=[len(p.labels) for p in parts]))
    return Outputs(np.concatenate([p.kept for p in parts]), np.concatenate([p.labels for p in parts]), loss)


def logits_of(module: nn.Module, batches: Iterable[Batch]) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """All outputs (n, k, …) of `module` in eval mode, and the labels; of few samples."""
    with evaluating(module):
        rows = [(module(x).cpu().numpy(), y.cpu().numpy()) for x, y in batches]
    return np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])


@contextmanager
def own_rng(seed: list[int], device: torch.device) -> Iterator[None]:
    """The global generators, from which dropout draws, set from the seed; afterwards as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        yield
