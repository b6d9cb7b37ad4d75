"""A training under way: weights, momentum, their average, the best so far, and what was logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.distributed.ranks import ALONE, Ranks
from hwnas.gradient.step.optim import pack, require_finite, unpack
from hwnas.networks.cells import CellNetwork
from targets.errors import DamagedFileError

from .average import MovingAverage, holding
from .loss import TrainingLoss
from .mixed_precision import MixedPrecision
from .recipe import Recipe


@dataclass(frozen=True, slots=True)
class EpochStats:
    """One epoch.

    epoch: its number, from 0.
    step: steps done at its end.
    train_loss, train_accuracy: means over its batches.
    seconds: wall time since the training began.
    val_accuracy: after it, of a training that may stop early; None otherwise.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    seconds: float
    val_accuracy: float | None = None


class TrainingState:
    """The state of a training: weights, momentum, their average, the best so far, what was logged."""

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        seed: int,
        total_steps: int,
        loss_of: TrainingLoss,
        ranks: Ranks = ALONE,
    ) -> None:
        self.module, self.recipe, self.seed, self.total_steps = module, recipe, seed, total_steps
        self.loss_of, self.ranks = loss_of, ranks
        self.epochs: list[EpochStats] = []
        self.average = MovingAverage(module, recipe.ema) if recipe.ema else None
        self.best: dict[str, Tensor] = {}
        self.precision = MixedPrecision(recipe.amp, next(module.parameters()).device)
        weights = [p for p in module.parameters() if p.ndim > 1]
        others = [p for p in module.parameters() if p.ndim <= 1]
        self.sgd = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            foreach=True,
        )

    @property
    def seconds(self) -> float:
        """Wall time until the end of the last epoch."""
        return self.epochs[-1].seconds if self.epochs else 0.0

    def step(self, step: int, x: Tensor, y: Tensor) -> tuple[float, float]:
        """One update; returns the loss before it, of the whole batch, and the right answers of this process.

        x, y: the share of this process.
        """
        self.module.train()
        for group in self.sgd.param_groups:
            group["lr"] = self.recipe.lr_at(step, self.total_steps)
            group["momentum"] = self.recipe.momentum_at(step, self.total_steps)
        x, targets = self.loss_of.mixed(step, x, y)
        logits, loss = self._forward(x, targets)
        loss_of_all = self.ranks.mean(loss.detach())
        value = require_finite(
            loss_of_all, f"training with seed {self.seed}, step {step} of {self.total_steps}"
        )
        self.sgd.zero_grad(set_to_none=True)
        self.precision.backward(loss)
        self.ranks.average_gradients(list(self.module.parameters()))
        self.precision.unscale(self.sgd)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip)
        self.precision.step(self.sgd)
        if self.average is not None:
            self.average.update(self.module)
        return value, float(self.loss_of.task.right(logits.detach(), y))

    def _forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (b, n_classes) and loss, that of the auxiliary classifier added where there is one."""
        second: Tensor | None = None
        with self.precision.autocast():
            if isinstance(self.module, CellNetwork) and self.recipe.auxiliary:
                logits, second = self.module.forward_both(x)
            else:
                logits = self.module(x)
            taught = self.loss_of.taught(x)
        logits = logits.float()
        loss = self.loss_of(logits, targets, taught)
        if second is not None:
            loss = loss + self.recipe.auxiliary * self.loss_of.of_targets(second.float(), targets)
        return logits, loss

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """The weights that are scored: their average, where there is one."""
        return self.module.state_dict() if self.average is None else self.average.tensors

    @property
    def has_stopped(self) -> bool:
        """Whether as many epochs as the recipe's patience brought no better validation accuracy."""
        scores = [e.val_accuracy or 0.0 for e in self.epochs]
        patience = self.recipe.patience
        return bool(patience and scores) and len(scores) - 1 - int(np.argmax(scores)) >= patience

    def keep_best(self, validate: Callable[[], tuple[float, ...]]) -> float:
        """The validation accuracy of this epoch, whose weights are kept where it is the best so far."""
        with holding(self.module, self.kept):
            accuracy, *_ = validate()
        if not self.best or accuracy > max(e.val_accuracy or 0.0 for e in self.epochs):
            self.best = {name: tensor.detach().clone() for name, tensor in self.kept.items()}
        return accuracy

    def finish(self) -> None:
        """Put the weights into the module that the training is for: the best, the average, or the last."""
        self.module.load_state_dict(self.best or dict(self.kept))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, JSON values) from which `restore` goes on to the bit."""
        average = {} if self.average is None else self.average.tensors
        sets = {"model": self.module.state_dict(), "average": average, "best": self.best}
        tensors = {f"{name}.{k}": v for name, tensors in sets.items() for k, v in tensors.items()}
        return tensors | pack(self.sgd, "sgd."), {
            "recipe": self.recipe.to_json(),
            "seed": self.seed,
            "processes": self.ranks.world,
            "epochs": [asdict(e) for e in self.epochs],
            "scaler": self.precision.state(),
        }

    def restore(self, saved: tuple[int, dict[str, Tensor], dict[str, Any]] | None) -> None:
        """Go on from a state; DamagedFileError for one of another training."""
        if saved is None:
            return
        step, tensors, state = saved
        if state.get("recipe") != self.recipe.to_json() or state.get("seed") != self.seed:
            raise DamagedFileError(
                f"the checkpoint is of a training with recipe {state.get('recipe')} and seed "
                f"{state.get('seed')}; asked for are {self.recipe.to_json()} and {self.seed}; delete it to "
                f"start again"
            )
        if state.get("processes", 1) != self.ranks.world:
            raise DamagedFileError(
                f"the checkpoint is of a training by {state.get('processes', 1)} processes, asked for are "
                f"{self.ranks.world}; go on with as many, or delete it to start again"
            )

        def named(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        try:
            self.module.load_state_dict(named("model."))
        except RuntimeError as error:
            raise DamagedFileError(f"the checkpoint is of another network: {error}") from error
        unpack(self.sgd, tensors, "sgd.")
        self.precision.restore(state.get("scaler", {}))
        self.best = named("best.")
        if self.average is not None:
            self.average.restore(named("average."), step)
        self.epochs = [EpochStats(**e) for e in state["epochs"]]
