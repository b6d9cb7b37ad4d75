"""The one gradient loop: arch step, weight step, for every row of `methods.METHODS`.

It starts from a copy of the shared weights and never writes back. All state is in `state()`; a
search that is loaded from it goes on to the bit as if it had not stopped.
"""

from __future__ import annotations

import bisect
import copy
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from targets.errors import UsageError

from ..budget import Budget
from ..mix import Arch, Mix
from ..registry import Part
from ..space import Space
from .decode import DECODERS, Decoded, ExactCosts, decode_seeds, require_reachable
from .hypergradient import ArchPass, Scene
from .loop import LogRow, Loop, Save
from .methods import Method, Stage
from .objective import ExpectedCosts, make_objective
from .optim import WeightOptimizer, pack, tensors_of, under, unpack
from .passes import BatchSource, Pass, validation_pass
from .policy import log_probabilities
from .relax import Moment

REACH = 5.0
"""How far a logit must be able to move: Adam moves it by at most its learning rate per step that
touches it, so a search with few arch steps would end where it began, whatever the data say.
exp(5) = 150 : 1. Two-path gates on the space `mobile`, 100 steps, budget 0.7 of the median: loss of
the policy's samples 0.233 at the rate without the touched share, 0.204 with it."""


ENOUGH = 200
"""Arch steps that a search tries to make: published intervals (every 5th step) are for 600,000 steps
from untrained weights; a search of a few hundred from trained ones makes an arch step at each."""

_RANK_BATCHES = 4
"""Validation batches that rank an architecture: 25 of them cost about as much as 30 steps."""


class Costs(ExpectedCosts, ExactCosts, Protocol):
    """`cost.CostModel`."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a user may set; None takes the method's own.

    steps: weight steps. epoch_steps: how many make one row of the log.
    arch_every: weight steps per arch step; None takes the published, or less to make ENOUGH arch steps.
    arch_lr: None takes the published rate, or what REACH asks for where that is more.
    ranked: sampled architectures that compete with the decoded one on validation batches (ENAS's
        decode); 0 leaves the method's own decode alone. Under a tight budget the mode of a policy
        that is still spread lies far below the budget: 0.43 of 0.72 ms after 100 steps, with a loss
        of 0.26 where the best of 24 samples had 0.19.
    """

    steps: int
    epoch_steps: int
    seed: int
    weight_lr: float | None = None
    arch_lr: float | None = None
    arch_every: int | None = None
    objective: Part | None = None
    ranked: int = 24

    def __post_init__(self) -> None:
        if self.arch_every is not None and self.arch_every < 1:
            raise UsageError(
                f"arch_every must be at least 1 weight step per arch step, got {self.arch_every}"
            )


class GradientSearch:
    """One search: `run()`, then `seeds()`; `state()` and `load()` at any step between."""

    def __init__(
        self,
        space: Space,
        supernet: nn.Module,
        costs: Costs,
        budgets: Sequence[Budget],
        method: Method,
        train: BatchSource,
        val: BatchSource,
        settings: SearchSettings,
        *,
        device: str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Refuses unreachable budgets (InfeasibleError) before any step is made."""
        require_reachable(space, costs, budgets)
        self.space, self.costs, self.budgets = space, costs, tuple(budgets)
        self.method, self.settings = method, settings
        self._train, self._val = train, val
        self.supernet = copy.deepcopy(supernet).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.supernet.train()
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.policy = method.make_policy(space.choices, self.generator)
        self.hypergradient = method.make_hypergradient()
        self.objective = make_objective(
            costs, budgets, settings.objective or method.objective, method.regularisers
        )
        self._relax = method.relax.resolve()
        sgd = method.weights
        if settings.weight_lr is not None:
            sgd = replace(sgd, lr=settings.weight_lr, min_lr=min(sgd.min_lr, settings.weight_lr))
        learned = [*self.supernet.parameters(), *self.hypergradient.own.parameters()]
        self.weights = WeightOptimizer(learned, sgd, settings.steps)
        self.arch_optimizer = torch.optim.Adam(
            list(self.policy.parameters()),
            lr=self._arch_lr(),
            betas=method.arch.betas,
            weight_decay=method.arch.weight_decay,
        )
        identity = {"search": method.name, "space": space.name, "seed": settings.seed}
        self.loop = Loop(
            settings.steps, settings.epoch_steps, self._one_step, self._end_epoch, identity, clock
        )
        self._alphas: list[Tensor] = []

    def run(
        self,
        *,
        until: int | None = None,
        on_step: Callable[[int], None] | None = None,
        save: Save | None = None,
        save_every: int = 100,
    ) -> None:
        """Search up to step `until` (default: all). Between steps all is consistent: on_step may raise."""
        self.loop.run(self.state, until, on_step, save, save_every)

    @property
    def log(self) -> list[LogRow]:
        """The rows of train_stats.csv so far."""
        return self.loop.log

    def _one_step(self, step: int) -> Pass | None:
        scene, stage = self._scene(step)
        every = self._arch_every(stage)
        if every and (step + 1) % every == 0:
            self._apply(self.hypergradient.arch_step(scene))
        found = self.hypergradient.weight_step(scene)
        if found is not None:
            self.weights.step(step)
        return found

    def _apply(self, arch: ArchPass) -> None:
        self.arch_optimizer.step()
        self.arch_optimizer.zero_grad(set_to_none=True)
        self.policy.after_step(arch.found.mix)
        self.objective.after_step(arch.score)

    def _scene(self, step: int) -> tuple[Scene, Stage]:
        stage, progress = self._stage(step)
        start, end = stage.temperature
        scene = Scene(
            supernet=self.supernet,
            policy=self.policy,
            relax=self._relax,
            objective=self.objective,
            weights=self.weights,
            moment=Moment(self.space.choices, self.generator, start + (end - start) * progress),
            step=step,
            label_smoothing=self.method.label_smoothing,
            train=lambda: self._train.at(step),
            val=lambda: self._val.at(step),
            where=f"search by {self.method.name}, step {step + 1} of {self.settings.steps}",
        )
        return scene, stage

    def _stage(self, step: int) -> tuple[Stage, float]:
        """The stage of a step, and how far it is (0 at its first step, 1 at its last)."""
        *_, total = ends = list(itertools.accumulate(s.share for s in self.method.stages))
        bounds = [0, *(round(self.settings.steps * end / total) for end in ends)]
        i = min(bisect.bisect_right(bounds, step), len(ends)) - 1
        return self.method.stages[i], (step - bounds[i]) / max(1, bounds[i + 1] - bounds[i] - 1)

    def _arch_lr(self) -> float:
        if self.settings.arch_lr is not None:
            return self.settings.arch_lr
        stages = [self._stage(step)[0] for step in range(self.settings.steps)]
        n = sum(1 / every for s in stages if (every := self._arch_every(s)))
        return max(self.method.arch.lr, REACH / max(1.0, n * self._touched_share()))

    def _arch_every(self, stage: Stage) -> int | None:
        """Weight steps per arch step in a stage; None while the policy is frozen."""
        if stage.arch_every is None:
            return None
        return self.settings.arch_every or max(1, min(stage.arch_every, self.settings.steps // ENOUGH))

    def _touched_share(self) -> float:
        """Share of the options that one arch step gives a gradient: 1, but for two-path gates."""
        moment = Moment(self.space.choices, torch.Generator().manual_seed(0))
        with torch.no_grad():
            mix = self.policy.draw(self._relax.arch, moment)
        touched = sum(len(a) + len(p) for a, p in zip(mix.active, mix.probe, strict=True))
        return touched / float(self.space.n_options.sum())

    def _end_epoch(self, step: int) -> LogRow:
        scene, stage = self._scene(step - 1)
        with torch.no_grad():
            drawn = self.policy.draw(self._relax.validation, scene.moment)
            soft = self.policy.soft_mix()
            expected = self.costs.expected(soft)
        found = validation_pass(self.supernet, drawn, scene.val())
        self._alphas.append(torch.from_numpy(np.concatenate(log_probabilities(self.policy))))
        return {
            "stage": stage.name,
            "val_loss": found.loss,
            "val_accuracy": found.accuracy,
            "expected_latency_ms": float(expected["latency_ms"]) if "latency_ms" in expected else None,
            "entropy": None if soft.entropy is None else float(soft.entropy) / len(self.space.choices),
            "multiplier": max(self.objective.term.state.values(), default=0.0),
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the rest of the search depends on: tensors, and JSON values."""
        tensors = tensors_of(self.supernet, "supernet.") | tensors_of(self.policy, "policy.")
        tensors |= tensors_of(self.hypergradient.own, "own.")
        tensors |= pack(self.weights.sgd, "weight_optimizer.")
        tensors |= pack(self.arch_optimizer, "arch_optimizer.")
        tensors["generator"] = self.generator.get_state()
        if self._alphas:
            tensors["alphas"] = torch.stack(self._alphas)
        return tensors, {**self.loop.state(), "objective": dict(self.objective.term.state)}

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from what `state()` gave; DamagedFileError when it is of another search."""
        self.loop.load(state)
        self.supernet.load_state_dict(under("supernet.", tensors))
        self.policy.load_state_dict(under("policy.", tensors))
        self.hypergradient.own.load_state_dict(under("own.", tensors))
        unpack(self.weights.sgd, tensors, "weight_optimizer.")
        unpack(self.arch_optimizer, tensors, "arch_optimizer.")
        self.generator.set_state(tensors["generator"].cpu())
        self._alphas = list(tensors["alphas"].cpu().unbind(0)) if "alphas" in tensors else []
        self.objective.term.state = dict(state["objective"])

    def alphas(self) -> dict[str, NDArray[np.float32]]:
        """Per choice the log-probabilities of its options after every epoch, (epochs, n_options)."""
        if not self._alphas:
            return {}
        history = torch.stack(self._alphas).numpy().astype(np.float32)
        ends = np.cumsum(self.space.n_options)[:-1]
        parts = np.split(history, ends, axis=1)
        return {c.name: part for c, part in zip(self.space.choices, parts, strict=True)}

    def seeds(self, n: int) -> list[Decoded]:
        """Up to `n` different architectures within the budgets, best first; see `SearchSettings.ranked`."""
        rng = np.random.default_rng([self.settings.seed, self.loop.step])
        decode, ranked = DECODERS[self.method.decode], self.settings.ranked
        found = decode_seeds(
            self.space,
            self.costs,
            log_probabilities(self.policy),
            self.budgets,
            max(n, ranked + 1 if ranked else 0),
            rng,
            decode,
        )
        if ranked:
            losses = [self._validation_loss(d.arch) for d in found]
            found = [found[i] for i in np.argsort(losses, kind="stable")]
        return found[:n]

    def _validation_loss(self, arch: Arch) -> float:
        mix = Mix.one_hot(self.space.choices, arch)
        return sum(validation_pass(self.supernet, mix, self._val.at(i)).loss for i in range(_RANK_BATCHES))
