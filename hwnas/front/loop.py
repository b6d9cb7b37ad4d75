"""The loop around any strategy: ask, evaluate, tell, and after each generation whatever the run stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .history import Trial
from .strategy import Strategy

if TYPE_CHECKING:
    from hwnas.evaluators import Evaluator


def run(
    strategy: Strategy,
    evaluate: Evaluator,
    generations: int | None = None,
    *,
    left: Callable[[], int | None] = lambda: None,
    on_generation: Callable[[Sequence[Trial]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> str:
    """Search until `generations` are complete, counted from the start of the run, not of the call.

    Returns why it ended: "generations", "evaluations" (none is left), "exhausted" (nothing new left in the
    space) or "stopped".

    strategy: proposes the architectures.
    evaluate: gives the metrics of a whole generation at once.
    generations: None sets no limit.
    left: how many architectures may be evaluated next, asked before each generation; none ends the search.
        None is as many as the strategy proposes at a time.
    on_generation: gets the new trials once they are recorded.
    stop: is asked before each generation.
    """
    while generations is None or strategy.history.generations < generations:
        if stop():
            return "stopped"
        n = left()
        if n is not None and n < 1:
            return "evaluations"
        archs = strategy.ask(n)
        if not archs:
            return "exhausted"
        trials = strategy.tell(archs, evaluate(archs))
        if on_generation:
            on_generation(trials)
    return "generations"
