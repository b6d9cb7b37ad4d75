"""The loop around any strategy: ask, evaluate, tell, and after each generation whatever the run stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from .history import Ledger, Row

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

Evaluate = Callable[[Sequence["Arch"]], Sequence[object]]
"""Architectures -> for each its `Metrics` or `Failed`; a whole generation at once."""


class Strategy(Protocol):
    """Proposes architectures and learns from what they turned out to be."""

    @property
    def ledger(self) -> Ledger:
        """What was evaluated so far."""

    @property
    def exhausted(self) -> bool:
        """Whether the last `ask` ran out of new architectures."""

    def ask(self) -> list[Arch]:
        """The next architectures to evaluate."""

    def tell(self, archs: Sequence[Arch], metrics: Sequence[object]) -> list[Row]:
        """Learn what `evaluate` answered for the architectures of `ask`."""


def run(
    strategy: Strategy,
    evaluate: Evaluate,
    generations: int,
    *,
    on_generation: Callable[[Sequence[Row]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> str:
    """Search until `generations` are complete, counted from the start of the run, not of the call.

    on_generation gets the new rows once they are recorded. Returns why it ended: "generations",
    "exhausted" (nothing new left in the space) or "stopped" (`stop`, asked before each generation).
    """
    while strategy.ledger.generations < generations:
        if stop():
            return "stopped"
        archs = strategy.ask()
        if not archs:
            return "exhausted"
        rows = strategy.tell(archs, evaluate(archs))
        if on_generation:
            on_generation(rows)
    return "generations"
