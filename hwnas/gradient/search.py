"""The one gradient loop: arch step, weight step, for every row of `methods.METHODS`.

It starts from a copy of the shared weights and never writes back. `state()` holds everything that the rest of
a search depends on, so a search that is loaded from it continues to the bit.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.core.budget import METRICS, Budget
from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.tasks import CLASSIFICATION, Task

from .decode import Decoded, require_reachable
from .elastic import options_of_stages
from .loop import LogRow, Loop, Save, read_every
from .method import Method
from .parts.decoders import IDENTITIES
from .parts.hypergradient import Hypergradient
from .parts.objective import make_objective
from .parts.policy import log_probabilities
from .parts.starts import STARTS
from .propose import propose
from .recording import why_eager
from .seeding import seeded
from .settings import SearchSettings
from .speed import require_speed, speed_up
from .stage_supernets import Rewrappable, SupernetFactory, copies_of
from .step.active_options import ActiveOptions, all_options, intersect, keep_best
from .step.context import ArchPass, StepContext
from .step.devices import search_devices
from .step.graphed import Capture, CudaCapture, GraphedSteps, StepNumbers
from .step.nodes import discretise, with_kept_edges
from .step.optim import WeightOptimizer, pack, tensors_of, under, unpack
from .step.passes import BatchSource, Pass, validation_pass
from .step.protocols import Policy, RelaxContext, SearchCosts
from .timetable import Slot, Timetable
from .warmup import extremes

__all__ = ["GradientSearch", "SearchSettings"]


class GradientSearch:
    """One search: `run()`, then `seeds()`; `state()` and `load()` at any step between."""

    supernet: nn.Module
    policy: Policy
    hypergradient: Hypergradient
    weights: WeightOptimizer
    arch_optimizer: torch.optim.Adam

    def __init__(
        self,
        space: Space,
        supernet: nn.Module | SupernetFactory,
        costs: SearchCosts,
        budgets: Sequence[Budget],
        method: Method,
        train: BatchSource,
        val: BatchSource,
        settings: SearchSettings,
        *,
        task: Task = CLASSIFICATION,
        device: str = "cpu",
        clock: Callable[[], float] = time.monotonic,
        capture: Capture | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Refuses unreachable budgets (InfeasibleError) before any step is made.

        space: what is searched.
        supernet: trained weights, which each stage that begins anew copies; or what makes one per stage.
        costs: of architectures and of mixes.
        budgets: limits that the decoded architectures respect.
        method: the row of the table.
        train, val: batches that the weights and the policy learn from.
        settings: what the user sets.
        task: what is learned: its loss.
        device: cpu or cuda.
        clock: seconds, for the log.
        capture: what records steps as graphs; None: on CUDA torch's own, elsewhere nothing.
        warn: gets a line when a step could not be recorded.
        """
        require_reachable(space, costs, budgets)
        require_speed(space, device, bf16=settings.bf16, compiled=settings.compile)
        self.space, self.costs, self.budgets = space, costs, tuple(budgets)
        self.method, self.settings, self.device = method, settings, torch.device(device)
        self.train, self.val, self.task = train, val, task
        self._factory = copies_of(supernet, method) if isinstance(supernet, nn.Module) else supernet
        # A policy lives where its draws are needed: on the device, or where Python decides by them what runs.
        self.why_eager = why_eager(method, settings.objective, compiled=settings.compile, task=task)
        self._recorded = self.why_eager is None and (self.device.type == "cuda" or capture is not None)
        place = self.device if self._recorded else torch.device("cpu")
        self.generator = torch.Generator(place).manual_seed(settings.seed)
        self._numbers = StepNumbers(place if self._recorded else None)
        if self._recorded and settings.graphs and capture is None:
            capture = CudaCapture(self.device, [self.generator])
        self._steps = GraphedSteps(train, val, capture, warn)
        self.objective = make_objective(
            costs, budgets, settings.objective or method.objective, method.make_regularisers()
        )
        self._relax, self._rules = method.relax.resolve(), [method.make_weight_rule(s) for s in method.stages]
        self._size_options = options_of_stages(space, method.stages, f"method {method.name}")
        self.callbacks = method.make_callbacks()
        row = hashlib.sha256(repr(method).encode()).hexdigest()[:12]
        identity = {"search": method.name, "row": row, "space": space.name, "seed": settings.seed}
        self.loop = Loop(
            steps=settings.steps,
            epoch_steps=settings.epoch_steps,
            one_step=self.one_step,
            end_epoch=self.end_epoch,
            identity=identity,
            clock=clock,
            read_every=read_every(self.device),
        )
        stages = method.stages if isinstance(supernet, nn.Module) else [s.untrained for s in method.stages]
        self.timetable = Timetable(stages, settings.steps, settings.arch_every)
        self._alphas: list[Tensor] = []
        self.devices = search_devices(space, costs)
        with self._seeded(-1):
            self._begin(0, all_options(space.choices))

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

    def one_step(self, step: int) -> Pass | None:
        """Arch step where one is due, and weight step; the pass that trained the weights."""
        with self._seeded(step):
            slot, due = self.timetable.at(step), self.timetable.due(step)
            self.enter(slot)
            context = self.step_context(step)
            if not self._recorded:
                return self._make_step(context, due)
            held = replace(context, train=self._steps.train.current, val=self._steps.val.current)
            return self._steps.run((slot.index, due), step, lambda: self._make_step(held, due), self._undo)

    def _make_step(self, context: StepContext, due: bool) -> Pass:
        weight_pass = None
        if due:
            arch_pass = self.hypergradient.arch_step(context)
            self.step_policy(arch_pass)
            weight_pass = arch_pass.weight
        if weight_pass is None:
            weight_pass = self.hypergradient.weight_step(context)
            context.step_weights()
        return weight_pass

    def _undo(self) -> None:
        """Drop the gradients that a step which was not made to its end has left."""
        self.weights.sgd.zero_grad(set_to_none=True)
        self.arch_optimizer.zero_grad(set_to_none=True)

    @property
    def how_on_gpu(self) -> str | None:
        """How the steps run on a GPU, for the log; None on a CPU."""
        if self.device.type != "cuda":
            return None
        if self.why_eager is not None:
            return f"search steps run kernel by kernel and not as CUDA graphs: {self.why_eager}"
        if not self.settings.graphs:
            return "search steps run kernel by kernel (--no-graphs)"
        return "search steps run as CUDA graphs"

    def step_policy(self, arch_pass: ArchPass) -> None:
        """Change the policy by the gradients that an arch step has left."""
        if self.method.arch.clip:
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.method.arch.clip)
        self.arch_optimizer.step()
        self.arch_optimizer.zero_grad(set_to_none=True)
        self.policy.after_step(arch_pass.forward.mix)
        self.objective.after_step(arch_pass.score)

    def _seeded(self, step: int) -> AbstractContextManager[None]:
        """Layers that draw (dropout, drop-path) do so by the seed and the step, so that a resume is exact."""
        return seeded(self.device, self.settings.seed, step + 1)

    def enter(self, slot: Slot) -> None:
        """Begin the stage of this step, when the step is its first; set the edge wrappers to the step."""
        for index in range(self._stage + 1, slot.index + 1):
            share = self.method.stages[index].options
            scores = log_probabilities(self.policy.soft_mix())
            best = keep_best(self._kept, scores, self.space.choices, share) if share < 1 else self._kept
            self._begin(index, best)
        if slot.stage.edges:
            cast(Rewrappable, self.supernet).rewrap(*slot.stage.wrappers(slot.progress, self._numbers))

    def _begin(self, index: int, kept: ActiveOptions) -> None:
        """Make the parts of a stage: all of the first, and what a later one begins anew.

        kept: the options that the stages before have kept.
        """
        stage, self._stage = self.method.stages[index], index
        self._steps.forget()
        fresh = index == 0 or stage.start == "fresh"
        if fresh:
            self.policy = self.method.make_policy(self.space.choices, self.generator)
            self.policy.meet_devices(torch.stack([device.features for device in self.devices]))
        self._restrict(index, kept)
        if fresh:
            self.arch_optimizer = torch.optim.Adam(
                list(self.policy.parameters()),
                lr=self._arch_lr(index),
                betas=self.method.arch.betas,
                weight_decay=self.method.arch.weight_decay,
                foreach=not self._recorded,
                fused=self._recorded,
                capturable=self._recorded and self.device.type == "cuda",
            )
        if index == 0 or stage.start != "same":
            self._make_supernet(index)

    def _make_supernet(self, index: int) -> None:
        """Make the supernet of a stage, and the optimiser and hypergradient that belong to it."""
        stage, (first, steps) = self.method.stages[index], self.timetable.stretch(index)
        supernet = self._factory(stage).to(self.device).to(memory_format=torch.channels_last)
        if index:
            STARTS[stage.start](self.supernet, supernet)
        speed_up(supernet, bf16=self.settings.bf16, compiled=self.settings.compile)
        self.supernet = supernet.train()
        self.hypergradient = self.method.make_hypergradient(self.supernet, self.policy, self.generator)
        own, sgd = self.hypergradient.own.parameters(), self.settings.sgd(self.method.weights, stage.lr)
        learned = self.supernet.parameters()
        self.weights = WeightOptimizer(learned, sgd, steps, own=own, first_step=first, fused=self._recorded)
        for callback in self.callbacks:
            callback.new_supernet()

    def _restrict(self, index: int, kept: ActiveOptions) -> None:
        """From now on draw among the options that are kept and whose sizes the stage searches."""
        self._kept, active = kept, intersect(self._size_options[index], kept)
        self.policy.restrict(active)
        self._extremes = cache(lambda: extremes(self.space, self._sizes, self.settings.seed, active=active))

    def step_context(self, step: int) -> StepContext:
        """What the step of this number works with."""
        slot = self.timetable.at(step)
        start, end = slot.stage.temperature
        return StepContext(
            supernet=self.supernet,
            policy=self.policy,
            relax=self._relax,
            objective=self.objective,
            weights=self.weights,
            relax_context=RelaxContext(
                choices=self.space.choices,
                generator=self.generator,
                t=self._numbers("t", start + (end - start) * slot.progress),
                progress=self._numbers("progress", self.timetable.progress(step)),
            ),
            step=step,
            lr=self._numbers("lr", self.weights.lr_at(step)),
            label_smoothing=self.method.label_smoothing,
            train=lambda: self.train.at(step),
            val=lambda: self.val.at(step),
            where=f"search by {self.method.name}, step {step + 1} of {self.settings.steps}",
            weight_rule=self._rules[slot.index],
            extremes=self._extremes,
            devices=self.devices,
            task=self.task,
            before_weights=[callback.before_weights for callback in self.callbacks],
            recorded=self._recorded,
        )

    def _arch_lr(self, index: int) -> float:
        if self.settings.arch_lr is not None:
            return self.settings.arch_lr
        n = self.timetable.arch_steps(index) * self._touched_share()
        return max(self.method.arch.lr, self.policy.reach / max(1.0, n))

    def _touched_share(self) -> float:
        """Share of the options that one arch step gives a gradient: 1, or less for single paths and gates."""
        context = RelaxContext(self.space.choices, torch.Generator(self.generator.device).manual_seed(0))
        with torch.no_grad():
            mix = self.policy.draw(self._relax.arch, context)
        touched = sum(len(a) + len(p) for a, p in zip(mix.active, mix.probe, strict=True))
        return touched / sum(map(len, self.policy.active))

    def _sizes(self, archs: list[Arch]) -> NDArray[np.float64]:
        """Sizes of architectures (n,): MACs, or the first metric where MACs are no cost."""
        costs = self.costs.of(archs)
        return costs["macs" if "macs" in costs else next(iter(costs))]

    def end_epoch(self, step: int) -> LogRow:
        """The columns of a row of the log about stage, validation and policy, after `step` steps."""
        slot = self.timetable.at(step - 1)
        with self._seeded(self.settings.steps + step):
            context = self.step_context(step - 1)
            # Callbacks first: one that stops the search may restore an earlier policy, and the row and the
            # alphas of the epoch are those of the restored one.
            if any([callback.after_epoch(context) for callback in self.callbacks]):
                self.loop.stop()
            with torch.no_grad():
                drawn = context.draw(self._relax.validation)
                soft = self.policy.soft_mix()
                expected = self.costs.expected(with_kept_edges(soft, self.space.choices))
                arch = discretise(soft.probs, soft.edge_weights, self.space.choices)
            validation = validation_pass(self.supernet, drawn, context.val(), self.task)
            self._alphas.append(torch.from_numpy(np.concatenate(log_probabilities(soft))))
        return {
            "stage": slot.stage.name,
            "val_loss": float(validation.loss),
            "val_accuracy": float(validation.accuracy),
            **{f"expected_{m}": float(expected[m]) for m in METRICS if m in expected},
            "skips": sum(c.options[i] in IDENTITIES for c, i in zip(self.space.choices, arch, strict=True)),
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
        return tensors, {
            **self.loop.state(),
            "objective": dict(self.objective.term.state),
            "stage": self._stage,
            "arch_lr": self.arch_optimizer.param_groups[0]["lr"],
            "kept": [list(options) for options in self._kept],
            "callbacks": [copy.deepcopy(c.state) for c in self.callbacks],
        }

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from what `state()` gave; DamagedFileError when it is of another search."""
        self.loop.load(state)
        self._steps.forget()
        with self._seeded(-1):
            for index in range(self._stage + 1, state["stage"] + 1):
                self._begin(index, self._kept)
        self._restrict(self._stage, tuple(tuple(options) for options in state["kept"]))
        self.supernet.load_state_dict(under("supernet.", tensors))
        self.policy.load_state_dict(under("policy.", tensors))
        self.hypergradient.own.load_state_dict(under("own.", tensors))
        unpack(self.weights.sgd, tensors, "weight_optimizer.")
        unpack(self.arch_optimizer, tensors, "arch_optimizer.")
        for group in self.arch_optimizer.param_groups:
            group["lr"] = state["arch_lr"]  # it was chosen by the options that were active then
        self.generator.set_state(tensors["generator"].cpu())
        self._alphas = list(tensors["alphas"].cpu().unbind(0)) if "alphas" in tensors else []
        self.objective.term.state = dict(state["objective"])
        for callback, saved in zip(self.callbacks, state["callbacks"], strict=True):
            callback.state = copy.deepcopy(saved)
        if self.loop.step:
            self.enter(self.timetable.at(self.loop.step - 1))

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
        self._steps.forget()  # graphs hold the memory of a whole step
        with self._seeded(2 * self.settings.steps + 1):
            return propose(self, n)
