"""A stage of a search: its length, its options, and what policy, weights and edges do in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwnas.core.number import Number
from hwnas.core.registry import Part, Registry, bound
from hwnas.networks.wrappers import AuxSkip, DropPath, Partial, SkipDropout, Wrapper
from targets.errors import UsageError, did_you_mean

from .parts.schedules import SCHEDULES
from .parts.starts import STARTS

WRAPPERS: Registry[Callable[[Any], Wrapper]] = Registry("edge wrapper")
WRAPPERS.add("partial")(lambda value: Partial(int(value)))
WRAPPERS.add("aux_skip")(AuxSkip)
WRAPPERS.add("skip_dropout")(SkipDropout)
WRAPPERS.add("drop_path")(DropPath)
_STRUCTURE = ("partial",)
"""Wrappers whose number says what a network is made of; that of the others is one that it computes with."""

_MOST_CELLS = 1000


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the search. Progressive methods are several of them.

    name: what logs call it.
    share: its share of all steps, in proportion to the other stages.
    frozen: share of the stage, at its beginning, in which the policy does not learn.
    warmup: the same, for a search that begins with untrained weights; those of the main job are trained.
    arch_every: weight steps per arch step; None: the policy never learns.
    temperature: t of the relaxations at its first and last step, linear between.
    start: what happens to the supernet of the stage before.
        "same": it goes on.
        "widened": a new one with an optimiser of its own; the policy stays, weights that fit are copied.
        "sorted": as "widened", the most important channels first.
        "fresh": everything begins again, except that inactive options stay inactive.
    lr: factor on the learning rates of the weights.
    cells: depth of the supernet; None: as the space has it.
    options: share of each choice's options that the stage searches, the best of the stage before.
    elastic: per dimension (kernel, depth, expand, width) by how many steps options may be smaller than the
        largest, 0 for those not named; None: every option.
    edges: what wraps the edges of the supernet (`WRAPPERS`), each with the schedule of its number.
    weight_rule: what a weight step trains; None: the method's.
    """

    name: str
    share: float = 1.0
    frozen: float = 0.0
    warmup: float = 0.0
    arch_every: int | None = 1
    temperature: tuple[float, float] = (1.0, 1.0)
    start: str = "same"
    lr: float = 1.0
    cells: int | None = None
    options: float = 1.0
    elastic: tuple[tuple[str, int], ...] | None = None
    edges: tuple[tuple[str, Part], ...] = ()
    weight_rule: Part | None = None

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise UsageError(
                f"stage {self.name}: unknown start {self.start!r}; {did_you_mean(self.start, STARTS)}"
            )
        if not self.lr > 0 or any(n < 0 for _, n in self.elastic or ()):
            raise UsageError(
                f"stage {self.name}: lr must be above 0 and the steps of elastic at least 0, got {self.lr}, "
                f"{dict(self.elastic or ())}"
            )
        shares = all(0 <= share < 1 for share in (self.frozen, self.warmup))
        if not (self.share > 0 and shares and 0 < self.options <= 1):
            raise UsageError(
                f"stage {self.name}: share must be above 0, frozen and warmup in [0, 1) and options in "
                f"(0, 1], got {self.share}, {self.frozen}, {self.warmup} and {self.options}"
            )
        if self.arch_every is not None and self.arch_every < 1:
            raise UsageError(f"stage {self.name}: arch_every must be at least 1, got {self.arch_every}")
        if not all(0 < t < math.inf for t in self.temperature):
            raise UsageError(f"stage {self.name}: temperature must be above 0, got {self.temperature}")
        if self.cells is not None and not 1 <= self.cells <= _MOST_CELLS:
            raise UsageError(f"stage {self.name}: cells must be 1 to {_MOST_CELLS}, got {self.cells}")

    @property
    def untrained(self) -> Stage:
        """The stage of a search that begins with untrained weights."""
        return replace(self, frozen=max(self.frozen, self.warmup))

    def wrappers(
        self, progress: float, number: Callable[[str, float], Number] = lambda name, value: value
    ) -> list[Wrapper]:
        """What the edges are wrapped in at a progress of the stage, 0 to 1.

        number: keeps a value under a name.
        """
        wrappers = []
        for name, p in self.edges:
            value = bound(SCHEDULES, p)(progress, self.frozen)
            wrappers.append(WRAPPERS[name](value))  # of the float, which is checked
            if name not in _STRUCTURE:
                wrappers[-1] = WRAPPERS[name](number(name, value))
        return wrappers

    def describe(self, total: float) -> str:
        """The stage in one line; total: the sum of the shares of all stages."""
        every = self.arch_every
        text = f"{self.name}: {self.share / total:.0%} of the steps, policy "
        text += "frozen" if every is None else "every step" if every == 1 else f"every {every} steps"
        extras = [
            f"policy frozen for {self.frozen:.0%}" if self.frozen else "",
            f"for {self.warmup:.0%} where weights are untrained" if self.warmup else "",
            f"{self.cells} cells" if self.cells else "",
            f"{self.options:.0%} of the options" if self.options < 1 else "",
            "" if self.elastic is None else _sizes(self.elastic),
            "" if self.start == "same" else f"{self.start} weights",
            "" if self.lr == 1 else f"lr x {self.lr:.3g}",
            str(self.weight_rule or ""),
            "" if self.temperature == (1.0, 1.0) else "t {:g} to {:g}".format(*self.temperature),
            *(f"edges {name} by {p}" for name, p in self.edges),
        ]
        return ", ".join([text, *filter(None, extras)])


def _sizes(elastic: Sequence[tuple[str, int]]) -> str:
    steps = [f"{name} by {n}" for name, n in elastic]
    return f"smaller in {', '.join(steps)}" if steps else "the largest sizes"
