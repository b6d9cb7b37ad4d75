"""The loop around any strategy: ask, evaluate, tell, and after each generation whatever the run stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from targets.errors import HwnasError

from .history import History, Trial
from .strategy import Strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.evaluators import EvaluationFailed, Evaluator, Metrics


def run(
    strategy: Strategy,
    evaluate: Evaluator | Sequence[Evaluator],
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
    evaluate: gives the metrics of a whole generation at once. For a strategy with several fidelities one per
        fidelity, the cheapest first.
    generations: None sets no limit.
    left: how many architectures may be evaluated next, asked before each generation; none ends the search.
        None is as many as the strategy proposes at a time.
    on_generation: gets the new trials once they are recorded.
    stop: is asked before each generation.
    """
    evaluators = [evaluate] if callable(evaluate) else list(evaluate)
    while generations is None or strategy.history.generations < generations:
        if stop():
            return "stopped"
        n = left()
        if n is not None and n < 1:
            return "evaluations"
        archs = strategy.ask(n)
        if not archs:
            return "exhausted"
        trials = strategy.tell(archs, _answers(strategy.history, evaluators, archs))
        if on_generation:
            on_generation(trials)
    return "generations"


def _answers(
    history: History, evaluators: Sequence[Evaluator], archs: Sequence[Arch]
) -> list[Metrics | EvaluationFailed]:
    """Each from the evaluator of the fidelity that is next for the architecture."""
    at: dict[int, list[int]] = {}
    for i, arch in enumerate(archs):
        at.setdefault(history.next_fidelity(arch), []).append(i)
    answers: dict[int, Metrics | EvaluationFailed] = {}
    for fidelity, members in sorted(at.items()):
        found = evaluators[fidelity]([archs[i] for i in members])
        if len(found) != len(members):
            raise HwnasError(f"the evaluator returned {len(found)} results for {len(members)} architectures")
        answers |= zip(members, found, strict=True)
    return [answers[i] for i in range(len(archs))]
