"""A row of the table of methods, and how its parts are made.

A row names its parts, so that it can be printed, compared and written in TOML. Every name and option is
checked when a row is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from hwnas.core.choice import Choice
from hwnas.core.registry import Part, bound, check_part, part
from targets.errors import UsageError

from .parts.callbacks import CALLBACKS, Callback
from .parts.decoders import DECODERS
from .parts.hypergradient import HYPERGRADIENTS, Hypergradient
from .parts.objective import COST_TERMS
from .parts.policy import POLICIES
from .parts.regularisers import REGULARISERS, Ramp, Weighted
from .parts.relax import RELAXATIONS
from .parts.schedules import SCHEDULES
from .parts.weight_rules import RULE_PASSES, WEIGHT_RULES
from .stage import WRAPPERS, Stage
from .step.context import Places, WeightRule
from .step.optim import AdamSettings, SGDSettings
from .step.protocols import Policy


@dataclass(frozen=True, slots=True)
class PlaceParts:
    """The relaxation of each place; virtual step and validation default to that of the arch step."""

    weight: Part
    arch: Part
    virtual: Part | None = None
    validation: Part | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """All four, defaults filled in."""
        return {
            "weight": self.weight,
            "virtual": self.virtual or self.arch,
            "arch": self.arch,
            "validation": self.validation or self.arch,
        }

    def resolve(self) -> Places:
        """The functions behind the names."""
        return Places(**{place: bound(RELAXATIONS, p) for place, p in self.parts.items()})


def relax(
    weight: str | Part,
    arch: str | Part | None = None,
    virtual: str | Part | None = None,
    validation: str | Part | None = None,
) -> PlaceParts:
    """`PlaceParts` from names; the arch step defaults to the relaxation of the weight step."""
    on_weight = _part_named(weight)
    return PlaceParts(
        weight=on_weight,
        arch=on_weight if arch is None else _part_named(arch),
        virtual=None if virtual is None else _part_named(virtual),
        validation=None if validation is None else _part_named(validation),
    )


def _part_named(name: str | Part) -> Part:
    return name if isinstance(name, Part) else part(name)


@dataclass(frozen=True, slots=True, repr=False)
class TermSpec:
    """A regulariser of a row.

    regulariser: its name and options.
    weight: goes linearly from weight[0] to weight[1] over the search.
    after: the weight is 0 before this progress.
    """

    regulariser: Part
    weight: tuple[float, float]
    after: float = 0.0

    def __str__(self) -> str:
        start, end = self.weight
        return f"{start:g} {self.regulariser}" if start == end else f"{start:g} to {end:g} {self.regulariser}"

    def __repr__(self) -> str:
        # Finished searches and checkpoints hold the digest of a row's repr, so this text must not change.
        return f"Term(regulariser={self.regulariser!r}, weight={self.weight!r}, after={self.after!r})"


@dataclass(frozen=True, slots=True)
class Published:
    """The paper's own setting on CIFAR-10, where this project has another or leaves it to the user.

    epochs: of the search.
    batch_size: images per weight step.
    cells, channels: of the network that is searched; 0 cells where it has none.
    val_share: share of the training images that the policy learns from; the weights learn from the others.
    """

    epochs: int = 50
    batch_size: int = 64
    cells: int = 8
    channels: int = 16
    val_share: float = 0.5

    def __str__(self) -> str:
        cells = f"{self.cells} cells, {self.channels} channels, " if self.cells else ""
        share = f"{self.val_share:.0%} of the images for the policy"
        return f"{self.epochs} epochs, batch {self.batch_size}, {cells}{share}"


@dataclass(frozen=True, slots=True)
class Method:
    """One row: the parts of a method, with the published defaults.

    name: what users call it.
    title: one line about it.
    paper: authors, year, title, arXiv number.
    relax: the relaxation of each place.
    weights: the optimiser of the weights.
    arch: the optimiser of the policy.
    policy: what is learned about the choices.
    hypergradient: how the gradient of the policy is found.
    weight_rule: what a weight step trains.
    stages: stretches of the search, in order.
    objective: how costs enter where the user gives budgets and names no other way. The papers have no costs
        (DARTS) or a target that they may miss (ProxylessNAS), so it is `budget` for all.
    objective_published: the paper's own, with its constants; None where costs were no part of it.
    regularisers: terms on the policy.
    decode: from the policy to an architecture.
    callbacks: what watches the search and may stop it or freeze a part.
    label_smoothing: of the training loss.
    published: the paper's own setting.
    """

    name: str
    title: str
    paper: str
    relax: PlaceParts
    weights: SGDSettings
    arch: AdamSettings
    policy: Part = field(default_factory=lambda: part("logits"))
    hypergradient: Part = field(default_factory=lambda: part("first_order"))
    weight_rule: Part = field(default_factory=lambda: part("plain"))
    stages: tuple[Stage, ...] = (Stage("search"),)
    objective: Part = field(default_factory=lambda: part("budget"))
    objective_published: Part | None = None
    regularisers: tuple[TermSpec, ...] = ()
    decode: Part = field(default_factory=lambda: part("argmax"))
    callbacks: tuple[Part, ...] = ()
    label_smoothing: float = 0.0
    published: Published = Published()

    def make_policy(self, choices: Sequence[Choice], generator: torch.Generator) -> Policy:
        """A fresh policy over the choices."""
        policy: Policy = POLICIES[self.policy.name](choices, generator, **self.policy.keywords)
        return policy

    def make_hypergradient(
        self, supernet: nn.Module, policy: Policy, generator: torch.Generator
    ) -> Hypergradient:
        """A fresh hypergradient, with its own tensors where it has some."""
        make = HYPERGRADIENTS[self.hypergradient.name]
        hypergradient: Hypergradient = make(supernet, policy, generator, **self.hypergradient.keywords)
        return hypergradient

    def make_weight_rule(self, stage: Stage) -> WeightRule:
        """What a weight step of a stage runs."""
        return bound(WEIGHT_RULES, stage.weight_rule or self.weight_rule)

    def make_callbacks(self) -> list[Callback]:
        """Fresh callbacks."""
        return [CALLBACKS[p.name](**p.keywords) for p in self.callbacks]

    def make_regularisers(self) -> list[Weighted]:
        """The regularisers with their ramps."""
        return [
            Weighted(Ramp(*t.weight, after=t.after), bound(REGULARISERS, t.regulariser))
            for t in self.regularisers
        ]

    def passes(self) -> float:
        """Forward and backward passes of the supernet per step, while the policy is searched.

        The mean over the stages, where their weight rules differ.
        """
        extra = HYPERGRADIENTS[self.hypergradient.name].passes(**self.hypergradient.keywords)
        rules = [(s.share, s.weight_rule or self.weight_rule) for s in self.stages]
        weight_passes = (
            sum(share * RULE_PASSES[r.name](**r.keywords) for share, r in rules) / self.total_share
        )
        every = [s.arch_every for s in self.stages if s.arch_every]
        return float(weight_passes + (extra / min(every) if every else 0.0))

    @property
    def total_share(self) -> float:
        """The shares of all stages."""
        return sum(s.share for s in self.stages)

    def check(self) -> None:
        """UsageError for a name or an option that does not exist, and for parts that do not go together."""
        rules = [self.weight_rule, *(s.weight_rule for s in self.stages if s.weight_rule)]
        for registry, parts in (
            (RELAXATIONS, self.relax.parts.values()),
            (POLICIES, (self.policy,)),
            (HYPERGRADIENTS, (self.hypergradient,)),
            (WEIGHT_RULES, rules),
            (DECODERS, (self.decode,)),
            (CALLBACKS, self.callbacks),
            (REGULARISERS, [t.regulariser for t in self.regularisers]),
            (COST_TERMS, [self.objective, *filter(None, [self.objective_published])]),
            (SCHEDULES, [p for s in self.stages for _, p in s.edges]),
            (WRAPPERS, [part(name) for s in self.stages for name, _ in s.edges]),
        ):
            for p in parts:
                check_part(registry, p, f"method {self.name}")
        hyper = self.hypergradient
        for rule in rules:
            if rule.name != "plain" and not HYPERGRADIENTS[hyper.name].takes_rule(**hyper.keywords):
                raise UsageError(
                    f"method {self.name}: hypergradient {str(hyper)!r} has a weight step of its own, so "
                    f"weight rule {rule.name!r} cannot be its; leave the rule out, or choose another "
                    "hypergradient"
                )
        if not self.stages:
            raise UsageError(f"method {self.name}: it needs at least one stage")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(
                f"method {self.name}: label_smoothing must be in [0, 1), got {self.label_smoothing}"
            )
        for stage in self.stages[1:]:
            if stage.start == "same" and stage.lr != 1:
                raise UsageError(
                    f"method {self.name}: stage {stage.name} goes on with the optimiser of the one before, "
                    "so it can have no lr of its own; give it start = 'widened'"
                )

    @property
    def summary(self) -> str:
        """The names of its parts in one line: policy, relaxations of arch and weight step, and so on."""
        places = self.relax.parts
        relaxed = dict.fromkeys((places["arch"].name, places["weight"].name))
        rules = dict.fromkeys((s.weight_rule or self.weight_rule).name for s in self.stages)
        parts = [
            self.policy.name,
            " / ".join(relaxed),
            self.hypergradient.name,
            *(name for name in rules if name != "plain"),
            *dict.fromkeys(name for s in self.stages for name, _ in s.edges),
            *(t.regulariser.name for t in self.regularisers),
            *(p.name for p in self.callbacks),
            f"{len(self.stages)} stages" if len(self.stages) > 1 else "",
            self.decode.name,
        ]
        return ", ".join(filter(None, parts))

    def describe(self) -> dict[str, Any]:
        """The row as text, for `hwnas methods show` and the run's record."""
        return {
            "name": self.name,
            "title": self.title,
            "paper": self.paper,
            "parts": self.summary,
            "policy": str(self.policy),
            "relax": {place: str(p) for place, p in self.relax.parts.items()},
            "hypergradient": str(self.hypergradient),
            "weight_rule": str(self.weight_rule),
            "stages": [s.describe(self.total_share) for s in self.stages],
            "objective": str(self.objective),
            "objective_published": str(self.objective_published) if self.objective_published else None,
            "regularisers": [str(t) for t in self.regularisers],
            "decode": str(self.decode),
            "callbacks": [str(p) for p in self.callbacks],
            "weights": f"SGD lr {self.weights.lr:g} to {self.weights.min_lr:g}, momentum "
            f"{self.weights.momentum:g}, weight decay {self.weights.weight_decay:g}, "
            f"clip {self.weights.clip}"
            + (f", {self.weights.cycles} cycles" if self.weights.cycles > 1 else ""),
            "arch": f"Adam lr {self.arch.lr:g}, betas {self.arch.betas}, "
            f"weight decay {self.arch.weight_decay:g}, clip {self.arch.clip or None}",
            "published": str(self.published),
            "passes_per_step": round(self.passes(), 2),
        }
