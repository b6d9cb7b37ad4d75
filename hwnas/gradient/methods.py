"""Every search method is a row of one table; none has a loop or a class of its own.

A row names its parts; the registries hold them. To add a method, add a row, and where a part is new,
the part in its own file; to add a variant, `dataclasses.replace` a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..mix import Choice
from ..registry import Part, Registry, part
from .hypergradient import HYPERGRADIENTS, Hypergradient, Places
from .optim import AdamSettings, SGDSettings
from .policy import POLICIES, Policy
from .relax import RELAXATIONS


@dataclass(frozen=True, slots=True)
class PlaceNames:
    """The relaxation of each place; virtual and validation default to that of the arch step."""

    weight: str
    arch: str
    virtual: str = ""
    validation: str = ""

    def resolve(self) -> Places:
        """The functions behind the names."""
        return Places(
            weight=RELAXATIONS[self.weight],
            arch=RELAXATIONS[self.arch],
            virtual=RELAXATIONS[self.virtual or self.arch],
            validation=RELAXATIONS[self.validation or self.arch],
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the search. Progressive methods are several of them.

    share: part of all steps. arch_every: weight steps per arch step; None freezes the policy.
    temperature: t of the relaxations at its first and last step, linear between.
    """

    name: str
    share: float = 1.0
    arch_every: int | None = 1
    temperature: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Method:
    """One row: the parts of a method, with the published defaults.

    objective: how costs enter where the user gives budgets and names no other way. The papers either
        have no costs (DARTS) or a target that they may miss (ProxylessNAS), so it is `budget` for all.
    objective_published: the paper's own, with its constants; None where costs were no part of it.
    regularisers: (weight, name) of the terms on the mix itself.
    """

    name: str
    title: str
    paper: str
    relax: PlaceNames
    weights: SGDSettings
    arch: AdamSettings
    policy: Part = field(default_factory=lambda: part("logits"))
    hypergradient: Part = field(default_factory=lambda: part("first_order"))
    stages: tuple[Stage, ...] = (Stage("search"),)
    objective: Part = field(default_factory=lambda: part("budget"))
    objective_published: Part | None = None
    regularisers: tuple[tuple[float, str], ...] = ()
    decode: str = "argmax"
    label_smoothing: float = 0.0

    def make_policy(self, choices: Sequence[Choice], generator: torch.Generator) -> Policy:
        """A fresh policy over the choices."""
        policy: Policy = POLICIES[self.policy.name](choices, generator, **self.policy.keywords)
        return policy

    def make_hypergradient(self) -> Hypergradient:
        """A fresh hypergradient, with its own tensors where it has some."""
        made: Hypergradient = HYPERGRADIENTS[self.hypergradient.name](**self.hypergradient.keywords)
        return made

    def describe(self) -> dict[str, Any]:
        """The row as text, for `hwnas methods show` and the run's record."""
        return {
            "name": self.name,
            "title": self.title,
            "paper": self.paper,
            "policy": str(self.policy),
            "relax": {
                "weight": self.relax.weight,
                "virtual": self.relax.virtual or self.relax.arch,
                "arch": self.relax.arch,
                "validation": self.relax.validation or self.relax.arch,
            },
            "hypergradient": str(self.hypergradient),
            "stages": [
                f"{s.name}: {s.share:.0%} of the steps, policy every {s.arch_every}" for s in self.stages
            ],
            "objective": str(self.objective),
            "objective_published": str(self.objective_published) if self.objective_published else None,
            "regularisers": [f"{weight:g} {name}" for weight, name in self.regularisers],
            "decode": self.decode,
            "weights": f"SGD lr {self.weights.lr:g} to {self.weights.min_lr:g}, weight decay "
            f"{self.weights.weight_decay:g}",
            "arch": f"Adam lr {self.arch.lr:g}, betas {self.arch.betas}, "
            f"weight decay {self.arch.weight_decay:g}",
        }


METHODS: Registry[Method] = Registry("method")


def add_method(row: Method) -> Method:
    """File a row in the table, its parts checked; UsageError for a second one of that name."""
    row.relax.resolve()
    for registry, name in ((POLICIES, row.policy.name), (HYPERGRADIENTS, row.hypergradient.name)):
        registry[name]
    return METHODS.add(row.name)(row)


DARTS = add_method(
    Method(
        name="darts",
        title="DARTS, first order: every option runs, weighted by the softmax of its logit",
        paper="Liu et al. 2019, DARTS: Differentiable Architecture Search, arXiv 1806.09055",
        relax=PlaceNames(weight="softmax", arch="softmax"),
        weights=SGDSettings(lr=0.025, min_lr=0.001, nesterov=False, weight_decay=3e-4, clip=5.0),
        arch=AdamSettings(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
    )
)

_PROXYLESS_SGD = SGDSettings(lr=0.025, weight_decay=4e-5, clip=None)
_PROXYLESS_ADAM = AdamSettings(lr=1e-3, betas=(0.0, 0.999), weight_decay=0.0)

PROXYLESS = add_method(
    Method(
        name="proxyless",
        title="ProxylessNAS, two-path binary gates: one option runs, one other is probed",
        paper="Cai et al. 2019, ProxylessNAS, arXiv 1812.00332",
        policy=part("logits", keep_untouched=True),
        relax=PlaceNames(weight="sampled", arch="binary_two", validation="hard"),
        # The published 40 warm-up epochs of uniform paths are the training of the shared weights.
        stages=(Stage("search", arch_every=5),),
        weights=_PROXYLESS_SGD,
        arch=_PROXYLESS_ADAM,
        objective_published=part("multiply_log", a=0.2, b=0.3),
        label_smoothing=0.1,
    )
)

PROXYLESS_FULL = add_method(
    Method(
        name="proxyless-full",
        title="ProxylessNAS, full binary gates: one option runs, all others are probed",
        paper="Cai et al. 2019, ProxylessNAS, arXiv 1812.00332 (`full_v2` of its code)",
        relax=PlaceNames(weight="sampled", arch="binary_full", validation="hard"),
        stages=(Stage("search", arch_every=5),),
        weights=_PROXYLESS_SGD,
        arch=_PROXYLESS_ADAM,
        objective_published=part("multiply_log", a=0.2, b=0.3),
        label_smoothing=0.1,
    )
)
