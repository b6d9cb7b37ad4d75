"""The Pareto front: what a strategy finds with an evaluator, the costs exact and the budgets tightened.

A search by short trainings begins with the evaluations that earlier searches stored, and spends the last
tenth of its own on second trainings (another seed) of members of the front that it cannot tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.core.budget import RATIO
from hwnas.evaluators import EvaluationFailed, Evaluator
from hwnas.evaluators.short_training import ShortTraining
from hwnas.executors import Executor
from hwnas.front import (
    STORED,
    STRATEGIES,
    Generational,
    OptunaExport,
    Problem,
    Trial,
    load_trials,
    make_strategy,
    run,
    save_trials,
)
from hwnas.pipeline.counts import EVALUATED, objectives_of, prices_of, strategy_of
from hwnas.pipeline.forecast import forecast_s
from hwnas.pipeline.stages import Outcome

from .beliefs import Beliefs
from .extra_features import features_of, proxy_correlations
from .progress import TrainingBar, training_bar
from .record import shared_record
from .replan import FrontPace, rest_s
from .run_context import RunContext
from .seeds import first_architectures
from .trainings import short_trainings

MOST_STORED = 200
"""Evaluations of earlier searches that a search begins with: more tell little and slow the surrogate."""

REPEATED_SHARE = 0.1
"""Of the evaluations: second trainings."""


def make_problem(context: RunContext) -> Problem:
    """The objectives, and the budgets tightened by the table's error."""
    objectives = _objectives(context)
    worst = {RATIO: 1.0} if RATIO in objectives else {}
    return Problem.parse(objectives, context.search_budgets, worst, context.config.prefer)


def _objectives(context: RunContext) -> tuple[str, ...]:
    return objectives_of(context.config, [device.name for device in context.devices])


def search_front(context: RunContext) -> Outcome:
    """Write evaluated.json, generation by generation, and study.db, its copy for Optuna's tools."""
    n_all, planned_s = context.counts.evaluations, forecast_s(context.counts, context.work)["front"]
    with (
        training_bar(context, "front", n_all, rest_s=rest_s(context, "front"), forecast_s=planned_s) as bar,
        context.executor() as executor,
    ):
        search = FrontSearch(context, bar, executor)
        ended = search.run()
        repeats = search.repeat()
    history = search.strategy.history
    volumes = history.hypervolumes()
    n_stored = sum(trial.origin == STORED for trial in history.trials)
    context.run.log(
        f"front: {len(history.trials) - n_stored} architectures evaluated ({ended})"
        + (f", {len(history.complete)} of them to the end" if len(history.prices) > 1 else "")
        + (f", {n_stored} known before" if n_stored else "")
        + (f", {len(repeats)} trained twice" if repeats else "")
        + f"; {len(history.front())} on the front, "
        f"hypervolume {volumes[0]['value']:.4f} -> {volumes[-1]['value']:.4f}"
    )
    beliefs = Beliefs.of(search.strategy, repeats)
    result = {
        "evaluator": context.config.evaluator,
        "store": search.store,
        "strategy": search.strategy.name,
        "front": [t.arch for t in history.front()],
        "front_latency": beliefs.front() or [t.arch for t in history.front(_picked_by(context))],
        "rows": [{**_row(trial), **beliefs.of_arch(trial.arch)} for trial in history.complete],
        "repeats": repeats,
        "hypervolume": volumes,
        "ended": ended,
        "slowdown": search.pace.slowdown,
        "proxies": proxy_correlations(context, history.complete),
    }
    return Outcome(result, ("evaluated.json",))


def _picked_by(context: RunContext) -> list[str]:
    """Accuracy or loss, and the latencies among the objectives."""
    objectives, latencies = _objectives(context), {RATIO, *context.burdens}
    chosen = [o for o in objectives if o in EVALUATED or o in latencies]
    return chosen if len(chosen) > 1 else list(objectives)


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "arch": trial.arch,
        "generation": trial.generation,
        "origin": trial.origin,
        "feasible": trial.feasible,
        "failure": trial.failure,
        **trial.metrics,
    }


class FrontSearch:
    """The search of one run: its strategy, its evaluator, and how much of it is left."""

    def __init__(self, context: RunContext, bar: TrainingBar, executor: Executor) -> None:
        self.context, self.bar, self.executor = context, bar, executor
        self.problem, self.pace = make_problem(context), FrontPace(context)
        self._n_all, self._n_finished = context.counts.evaluations, 0
        self.path: Path = context.path / "evaluated.json"
        self.prices = prices_of(context.eval_epochs) if context.trains else (1,)
        self.strategy = self._strategy()
        self.evaluators = self._evaluators(context.config.seed)
        if self.path.exists():
            self.strategy.restore(load_trials(self.path, self.strategy.identity))
            context.run.log(f"going on after generation {self.strategy.history.generations}")
        self.export = OptunaExport(
            context.path / "study.db", context.space, self.problem, context.run.log.warn
        )
        self.record = shared_record(context, self.problem)

    @property
    def evaluator(self) -> Evaluator:
        """What scores architectures to the end."""
        return self.evaluators[-1]

    @property
    def store(self) -> str | None:
        """The file in the data home that holds what was evaluated; None with shared weights."""
        if not isinstance(self.evaluator, ShortTraining) or self.evaluator.store is None:
            return None
        return self.evaluator.store.path.name

    @property
    def n_paid(self) -> int:
        """Evaluations of this search; those that were stored before are not its own."""
        history = self.strategy.history
        return math.ceil(history.spent([t for t in history.trials if t.origin != STORED]) - 1e-9)

    def run(self) -> str:
        """Evaluate what the plan has, less what is kept for repeats; why it ended."""
        if not self.strategy.history.trials:
            self._take_stored()
        self._n_finished = self.n_paid
        self.bar.finish(self._n_finished)
        ended = run(self.strategy, self.evaluators, left=self._left, on_generation=self._keep)
        self.export.update(self.strategy.history.trials)  # a kill may have come between the two files
        if self.record is not None:
            self.record.finish(self.strategy.history.trials)
        return ended

    def _left(self) -> int:
        """The size of the next batch, which was decided before where this run was resumed."""
        return self.context.decisions.batch(str(self.strategy.history.generations), self._decide)

    def _decide(self) -> int:
        counts = self.context.counts
        n_all = self.pace.affordable(self.n_paid)
        self.bar.expect(n_all, self.pace.rest_s(n_all - self.n_paid))
        if n_all != self._n_all:
            self.context.run.log(f"{n_all} evaluations, not {self._n_all}: what the time left allows")
            self._n_all = n_all
        n_repeats = int(REPEATED_SHARE * n_all) if counts.eval_epochs else 0
        return max(0, min(counts.batch, n_all - n_repeats - self.n_paid))

    def repeat(self) -> list[dict[str, Any]]:
        """Train members of the front again, with another seed; what came out."""
        n = self.context.decisions.batch("repeats", lambda: self.pace.affordable(self.n_paid) - self.n_paid)
        archs = Beliefs.of(self.strategy, []).to_repeat(n) if self.context.trains and n > 0 else []
        if not archs:
            return []
        seed = self.context.config.seed + 1
        answers = self._evaluators(seed)[-1](archs)
        self.bar.finish(len(archs))
        return [
            {"arch": self.context.space.key(arch), "seed": seed, **{m: a[m] for m in EVALUATED}}
            for arch, a in zip(archs, answers, strict=True)
            if not isinstance(a, EvaluationFailed)
        ]

    def _evaluators(self, seed: int) -> Sequence[Evaluator]:
        """What scores architectures in this run, per fidelity. seed: of the trainings."""
        if not self.context.trains:
            return [self.context.shared_weights]
        on_progress = self.bar.on_progress
        return short_trainings(self.context, self.executor, seed=seed, on_progress=on_progress)

    def _strategy(self) -> Generational:
        config, context = self.context.config, self.context
        name = strategy_of(config)
        return make_strategy(
            name,
            context.space,
            self.problem,
            population=context.counts.batch,
            seed=config.seed,
            seeds=first_architectures(context),
            costs_of=context.search_costs.of,
            features_of=features_of(context),
            n_images=len(context.data.split("val")) if context.data.task.metric.counted else None,
            prices=self.prices,
            **STRATEGIES[name].read_options(config.strategy_options),
        )

    def _take_stored(self) -> None:
        """Generation 0 of what earlier searches trained, those inside the budgets first."""
        fresh = self.context.config.ignore_stored or len(self.prices) > 1  # which are begun at the first
        if not isinstance(self.evaluator, ShortTraining) or fresh:
            return
        store = self.evaluator.store
        archs = self.context.archs(list(store.known if store else ()))
        inside = [
            all(b.violation(c) <= 0 for b in self.problem.budgets) for c in self.context.costs_of(archs)
        ]
        order = sorted(range(len(archs)), key=lambda i: not inside[i])[:MOST_STORED]
        stored = [archs[i] for i in order]
        if stored:
            self.strategy.history.add(stored, [STORED] * len(stored), self.evaluator(stored))
            save_trials(self.path, self.strategy.history, self.strategy.identity)
            self.context.run.log(f"{len(stored)} architectures were trained by earlier searches")

    def _keep(self, trials: Sequence[Trial]) -> None:
        save_trials(self.path, self.strategy.history, self.strategy.identity)
        self.export.update(self.strategy.history.trials)
        if self.record is not None:
            self.record.update(self.strategy.history.trials)
        n_before = self._n_finished
        self._n_finished = self.n_paid
        self.pace.add(self._n_finished - n_before)
        self.bar.finish(self._n_finished - n_before, self._best())

    def _best(self) -> str:
        trials = [t for t in self.strategy.history.complete if t.feasible]
        if not trials:
            return "none inside the budgets yet"
        best = max(trials, key=lambda t: t.metrics["val_accuracy"])
        burden = self.context.burdens[0]
        value = best.metrics[burden]
        cost = f"{value:.3g} ms" if burden != "macs" else f"{value / 1e6:.3g} million MACs"
        return f"best {100 * best.metrics['val_accuracy']:.1f} %, {cost}"
