"""Training of the evaluator's shared weights by single paths, because they rank only what was trained.

A sampler says which architectures a step trains. It is a function of (space, seed, step) alone, so a
resume needs no generator state. Architectures are canonical, as the evaluator asks for them.

[1] Guo et al. 2020, Single Path One-Shot, 1904.00420. [2] Chu et al. 2021, FairNAS, 1907.01845.
[3] Yu et al. 2020, BigNAS, 2003.11142 (sandwich rule, in-place distillation).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hwnas import supernets
from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace
from hwnas.core.node import none_of
from hwnas.core.registry import Registry
from hwnas.core.space import Space
from hwnas.distributed.ranks import ALONE, Ranks
from hwnas.distributed.synced_norm import synced_norms
from hwnas.tasks import CLASSIFICATION, Task

from .loop import LogRow, Loop, Save, read_every
from .step.active_options import ActiveOptions, all_options
from .step.optim import SGDSettings, WeightOptimizer, pack, tensors_of, under, unpack
from .step.passes import BatchSource, Pass, weight_pass


class ArchSampler(Protocol):
    """The architectures that step `step` trains; the first teaches the others."""

    def __call__(self, space: Space, seed: int, step: int, extremes: tuple[Arch, Arch]) -> list[Arch]:
        """extremes: the smallest and the largest architecture of the space."""
        ...


SAMPLERS: Registry[ArchSampler] = Registry("path sampler")


@SAMPLERS.add("uniform")
def uniform_paths(space: Space, seed: int, step: int, extremes: tuple[Arch, Arch]) -> list[Arch]:
    """One architecture, each choice uniform [1]."""
    return [space.sample(np.random.default_rng([seed, step]))]


@SAMPLERS.add("fair")
def fair_paths(space: Space, seed: int, step: int, extremes: tuple[Arch, Arch]) -> list[Arch]:
    """One architecture; over n steps each of a choice's n options runs exactly once, in random order [2]."""
    arch = []
    for choice, n in enumerate(space.n_options):
        turn, place = divmod(step, int(n))
        arch.append(int(np.random.default_rng([seed, choice, turn]).permutation(int(n))[place]))
    return [space.canonical(tuple(arch))]


@SAMPLERS.add("sandwich")
def sandwich_paths(space: Space, seed: int, step: int, extremes: tuple[Arch, Arch]) -> list[Arch]:
    """The largest, the smallest and two random architectures [3]."""
    rng = np.random.default_rng([seed, step])
    return [extremes[1], extremes[0], space.sample(rng), space.sample(rng)]


@dataclass(frozen=True, slots=True)
class WarmupSettings:
    """What a training of shared weights is.

    steps: optimiser steps, each of one pass (sandwich: four).
    epoch_steps: steps per row of the log.
    seed: of the paths.
    paths: name of the sampler (`SAMPLERS`).
    label_smoothing: of the training loss.
    sgd: the optimiser.
    """

    steps: int
    epoch_steps: int
    seed: int
    paths: str = "uniform"
    label_smoothing: float = 0.1
    sgd: SGDSettings = field(default_factory=lambda: SGDSettings(lr=0.3, weight_decay=4e-5))

    def suited(self, task: Task) -> WarmupSettings:
        """With what the recipe of the task has otherwise: the rate and the like, where it is learned so."""
        own = {f.name: task.recipe[f.name] for f in fields(SGDSettings) if f.name in task.recipe}
        smoothing = task.recipe.get("label_smoothing", self.label_smoothing)
        return replace(self, sgd=replace(self.sgd, **own), label_smoothing=smoothing)


def make_supernet(space: NetworkSpace, seed: int) -> nn.Module:
    """Fresh shared weights from `seed`; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return supernets.make(space)


def extremes(
    space: Space,
    macs: Callable[[list[Arch]], Any],
    seed: int,
    n: int = 64,
    active: ActiveOptions | None = None,
) -> tuple[Arch, Arch]:
    """(smallest, largest) architecture by MACs.

    Hill climbing, option by option, from the smallest and the largest of `n` samples.

    macs: sizes (n,) of architectures.
    active: the options that count, per choice; None: all.
    """
    rng = np.random.default_rng([seed, 2**31])
    active = all_options(space.choices) if active is None else active
    drawn = [_with_active(space.sample(rng), space, active) for _ in range(n)]
    order = np.argsort(macs(drawn), kind="stable")
    return _climb(space, macs, drawn[order[0]], -1, active), _climb(space, macs, drawn[order[-1]], 1, active)


def _with_active(arch: Arch, space: Space, active: ActiveOptions) -> Arch:
    """The architecture with its inactive options replaced by active ones; it keeps the same edges."""
    replaced = []
    for option, choice, options in zip(arch, space.choices, active, strict=True):
        real = [i for i in options if not choice.keep or i != none_of(choice)]
        stays = option in options or (choice.keep > 0 and option == none_of(choice))
        replaced.append(option if stays else real[0])
    return tuple(replaced)


def _climb(
    space: Space, macs: Callable[[list[Arch]], Any], arch: Arch, sign: int, active: ActiveOptions
) -> Arch:
    """Change one choice after the other to what makes the architecture largest (sign 1) or smallest (-1)."""
    while True:
        before = arch
        for choice, options in enumerate(active):
            neighbours = [(*arch[:choice], o, *arch[choice + 1 :]) for o in sorted({*options, arch[choice]})]
            neighbours = [a for a in neighbours if space.valid(a)]
            arch = neighbours[int(np.argmax(sign * np.asarray(macs(neighbours))))]
        if arch == before:
            return space.canonical(arch)


class Warmup:
    """One training of a supernet, in place: `run()`; `state()` and `load()` at any step between."""

    def __init__(
        self,
        space: Space,
        supernet: nn.Module,
        train: BatchSource,
        settings: WarmupSettings,
        *,
        macs: Callable[[list[Arch]], Any],
        task: Task = CLASSIFICATION,
        device: str = "cpu",
        clock: Callable[[], float] = time.monotonic,
        ranks: Ranks = ALONE,
    ) -> None:
        """Macs: sizes (n,) of architectures, which decide the largest and the smallest. task: is learned.

        ranks: the processes that do it together; each of them makes the same one, `train` but for its share.
        """
        self.space, self.settings, self._task = space, settings.suited(task), task
        self._train, self._ranks = train, ranks
        self._sampler = SAMPLERS[settings.paths]
        self._extremes = extremes(space, macs, settings.seed)
        self._device = torch.device(device)
        self.supernet: nn.Module = supernet.to(device).to(memory_format=torch.channels_last)
        self.supernet.train()
        self.weights = WeightOptimizer(self.supernet.parameters(), self.settings.sgd, settings.steps)
        identity = {"space": space.name, "paths": settings.paths, "seed": settings.seed}
        if ranks.world > 1:
            identity["processes"] = ranks.world
        self.loop = Loop(
            steps=settings.steps,
            epoch_steps=settings.epoch_steps,
            one_step=self._one_step,
            end_epoch=self._end_epoch,
            identity=identity,
            clock=clock,
            read_every=read_every(self._device),
        )

    def run(
        self,
        *,
        until: int | None = None,
        on_step: Callable[[int], None] | None = None,
        save: Save | None = None,
        save_every: int = 200,
    ) -> None:
        """Train up to step `until` (default: all). Between steps all is consistent: on_step may raise."""
        self.loop.run(self.state, until, on_step, save, save_every)

    @property
    def log(self) -> list[LogRow]:
        """The rows of train_stats.csv so far."""
        return self.loop.log

    def _one_step(self, step: int) -> Pass:
        s = self.settings
        archs = self._sampler(self.space, s.seed, step, self._extremes)
        mixes = [Mix.one_hot(self.space.choices, arch) for arch in archs]
        where = None  # a look at each loss keeps a GPU waiting: there the loop reads them
        if self._device.type == "cpu":
            where = f"training of the shared weights, step {step + 1} of {s.steps}"
        batch = self._train.at(step)
        with synced_norms(self._ranks, len(batch[1])):
            trained = weight_pass(self.supernet, mixes, batch, s.label_smoothing, where, task=self._task)
        # All processes draw the same paths, so the weights that have a gradient are the same in all of them.
        self._ranks.average_gradients([p for p in self.weights.parameters if p.grad is not None])
        self.weights.step(self.weights.lr_at(step))
        loss, accuracy = self._ranks.mean(torch.stack([trained.loss, trained.accuracy]))
        return replace(trained, loss=loss, accuracy=accuracy)

    def _end_epoch(self, step: int) -> LogRow:
        return {"stage": "supernet"}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the rest of the training depends on: tensors, and JSON values."""
        tensors = tensors_of(self.supernet, "supernet.") | pack(self.weights.sgd, "weight_optimizer.")
        return tensors, self.loop.state()

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from what `state()` gave; DamagedFileError when it is of another training."""
        self.loop.load(state)
        self.supernet.load_state_dict(under("supernet.", tensors))
        unpack(self.weights.sgd, tensors, "weight_optimizer.")
