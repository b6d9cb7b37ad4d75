"""A discrete search whose trials lie in a file, from which it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.front import Generational, History, Trial, load_trials, run, save_trials

if TYPE_CHECKING:
    from hwnas.evaluators import Evaluator
    from hwnas.runs.run_dir import RunDir

TRIALS = "evaluated.json"


def search_stored(
    run_dir: RunDir, strategy: Generational, evaluate: Evaluator | Sequence[Evaluator], n: int
) -> History:
    """Ask, evaluate and tell until `n` evaluations are spent; each generation is written to `TRIALS` at once.

    evaluate: for a strategy with several fidelities one per fidelity, which count by their prices.
    """
    path: Path = run_dir.path / TRIALS
    if path.exists():
        strategy.restore(load_trials(path, strategy.identity))
    history = strategy.history
    with run_dir.progress("search", n) as bar:
        bar.advance(int(history.spent()))

        def keep(new: Sequence[Trial]) -> None:
            save_trials(path, history, strategy.identity)
            bar.advance(int(history.spent()) - int(history.spent(history.trials[: -len(new)])))

        run(
            strategy,
            evaluate,
            left=lambda: min(strategy.context.population, int(n - history.spent() + 1e-9)),
            on_generation=keep,
        )
    return history
