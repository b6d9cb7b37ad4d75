"""The loop around any strategy: ask, evaluate, tell, and after each generation whatever the run stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from .history import History, Trial

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.evaluators import Evaluator


class Strategy(Protocol):
    """Proposes architectures and learns from what they turned out to be."""

    @property
    def history(self) -> History:
        """What was evaluated so far."""

    @property
    def exhausted(self) -> bool:
        """Whether the last `ask` ran out of new architectures."""

    def ask(self) -> list[Arch]:
        """The next architectures to evaluate."""

    def tell(self, archs: Sequence[Arch], metrics: Sequence[object]) -> list[Trial]:
        """Learn what `evaluate` answered for the architectures of `ask`."""


def run(
    strategy: Strategy,
    evaluate: Evaluator,
    generations: int,
    *,
    on_generation: Callable[[Sequence[Trial]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> str:
    """Search until `generations` are complete, counted from the start of the run, not of the call.

    on_generation gets the new trials once they are recorded. Returns why it ended: "generations",
    "exhausted" (nothing new left in the space) or "stopped" (`stop`, asked before each generation).
    """
    while strategy.history.generations < generations:
        if stop():
            return "stopped"
        archs = strategy.ask()
        if not archs:
            return "exhausted"
        trials = strategy.tell(archs, evaluate(archs))
        if on_generation:
            on_generation(trials)
    return "generations"
