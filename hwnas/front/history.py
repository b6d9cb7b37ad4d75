"""The record of a discrete search: one trial per evaluated architecture, never two alike for the same one.

Where a search has several fidelities, such as trainings of 1, 3 and 9 epochs, an architecture has at most
one trial at each, from the cheapest on; what counts is what was evaluated at the last.

The trials are the truth of a run (`evaluated.json`). The strategy's state, the hypervolume, the front and
`study.db` all follow from them, which makes resuming exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.errors import DamagedFileError, HwnasError, UsageError
from targets.files import read_json, write_json

from .objectives import Problem, TrialValues
from .pareto import non_dominated

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.evaluators import EvaluationFailed, Metrics

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation.

    number: its place in the run, from 0.
    generation: the `ask` that proposed it, from 0.
    origin: how the strategy came to it: random, seed, child (bred), mutant (a bred duplicate,
        mutated until new) and what else the strategy says.
    arch: the key of the space.
    metrics: what the evaluator found; empty when it failed.
    values: what the metrics are worth in the problem; None when the evaluation failed.
    failure: why the evaluation failed, else None.
    fidelity: how thoroughly it was evaluated, from 0; the last one of the search is the real thing.
    """

    number: int
    generation: int
    origin: str
    arch: str
    metrics: Mapping[str, float]
    values: TrialValues | None
    failure: str | None = None
    fidelity: int = 0

    @property
    def feasible(self) -> bool:
        """Whether it was evaluated and keeps every budget."""
        return self.values is not None and self.values.feasible

    def to_json(self) -> dict[str, Any]:
        """The trial as stored; constraints are left out because the budgets give them back."""
        return {
            "number": self.number,
            "generation": self.generation,
            "origin": self.origin,
            "arch": self.arch,
            "metrics": dict(self.metrics),
            "feasible": self.feasible,
            "failure": self.failure,
            **({"fidelity": self.fidelity} if self.fidelity else {}),
        }


class History:
    """The trials of a run. `add` checks every metric.

    pending: architectures that were asked and not answered yet, in that order; a strategy may take them into
        account.
    max_failures: how many evaluations in a row may fail before the search stops.
    prices: what an evaluation takes at each fidelity, in units of a whole one.
    """

    def __init__(
        self, space: Space, problem: Problem, *, max_failures: int = 10, prices: Sequence[float] = (1,)
    ) -> None:
        self.space, self.problem, self.max_failures = space, problem, max_failures
        self.prices = tuple(prices)
        self.trials: list[Trial] = []
        self.pending: list[Arch] = []
        self._reached: dict[str, int] = {}

    @property
    def generations(self) -> int:
        """How many generations are complete."""
        return self.trials[-1].generation + 1 if self.trials else 0

    @property
    def keys(self) -> Set[str]:
        """Keys of all architectures that were evaluated, failed ones included."""
        return self._reached.keys()

    @property
    def complete(self) -> list[Trial]:
        """The trials at the last fidelity, failed ones included: all of them where there is one."""
        return [t for t in self.trials if t.fidelity == len(self.prices) - 1]

    def spent(self, trials: Sequence[Trial] | None = None) -> float:
        """What trials took, in units of a whole evaluation; None is all."""
        return sum(self.prices[t.fidelity] for t in (self.trials if trials is None else trials))

    def next_fidelity(self, arch: Arch) -> int:
        """At which an architecture is evaluated next: 0 if it is new."""
        return self._reached.get(self.space.key(arch), -1) + 1

    @property
    def evaluated(self) -> list[tuple[Trial, TrialValues]]:
        """The trials that did not fail, with their values."""
        return _evaluated(self.trials)

    def of_generation(self, generation: int) -> list[Trial]:
        """The trials of one generation, failed ones included."""
        first, end = (bisect_left(self.trials, g, key=_generation) for g in (generation, generation + 1))
        return self.trials[first:end]

    def add(
        self, archs: Sequence[Arch], origins: Sequence[str], metrics: Sequence[Metrics | EvaluationFailed]
    ) -> list[Trial]:
        """Record one generation. Metrics that cannot be used become a failed trial that names the value.

        Raises HwnasError, and records nothing, when `metrics` are not one per architecture, or when
        more than `max_failures` evaluations in a row failed: the cause is then not the architecture.
        """
        if len(metrics) != len(archs):
            raise HwnasError(f"the evaluator returned {len(metrics)} results for {len(archs)} architectures")
        generation, new, keys = self.generations, list[Trial](), set[str]()
        for arch, origin, answer in zip(archs, origins, metrics, strict=True):
            key = self.space.key(arch)
            fidelity = self._reached.get(key, -1) + 1
            if key in keys or fidelity >= len(self.prices):
                raise HwnasError(f"architecture {key} was evaluated before; ask for new ones")
            keys.add(key)
            number = len(self.trials) + len(new)
            new.append(self._trial(number, generation, origin, key, answer, fidelity=fidelity))
        self._stop_when_all_fail(new)
        self._keep(new)
        return new

    def restore(self, stored: Sequence[Mapping[str, Any]]) -> None:
        """Take over stored trials; DamagedFileError names the first that does not fit this search."""
        if self.trials:
            raise UsageError("trials can only be restored into a fresh history")
        new: list[Trial] = []
        reached: dict[str, int] = {}
        for number, row in enumerate(stored):
            try:
                key = str(row["arch"])
                trial = self._trial(
                    number,
                    row["generation"],
                    row["origin"],
                    key,
                    row["metrics"],
                    row["failure"],
                    fidelity=reached.get(key, -1) + 1,
                )
                same = trial.to_json() == row and trial.fidelity < len(self.prices)
                same = same and self.space.key(self.space.from_string(trial.arch)) == trial.arch
                step = trial.generation - (new[-1].generation if new else 0)
            except (KeyError, TypeError, AttributeError, UsageError) as error:
                raise DamagedFileError(
                    f"row {number} of the stored evaluations: cannot be read ({error!r})"
                ) from error
            if not same or step not in ((0, 1) if new else (0,)):
                raise DamagedFileError(
                    f"row {number} of the stored evaluations does not fit what comes before it, or the "
                    f"objectives and budgets of this search: {row}; restore the file, or start a new run"
                )
            reached[trial.arch] = trial.fidelity
            new.append(trial)
        self._keep(new)

    def front(self, metrics: Sequence[str] | None = None) -> list[Trial]:
        """Feasible trials that no other dominates, over all objectives or those named."""
        trials = [t for t in self.complete if t.feasible]
        points = self.problem.minimised(_values(trials))
        names = [o.metric for o in self.problem.objectives]
        axes = [names.index(m) for m in (metrics or names)]
        return [t for t, keep in zip(trials, non_dominated(points[:, axes]), strict=True) if keep]

    def hypervolumes(self) -> list[dict[str, float]]:
        """Per generation: the hypervolume of all feasible architectures up to it (`Problem`)."""
        reference = self.problem.reference(_values(self.of_generation(0)))
        rows, front = list[dict[str, float]](), list[TrialValues]()
        evaluated: float = 0
        for generation in range(self.generations):
            trials = self.of_generation(generation)
            evaluated += self.spent(trials)
            complete = [t for t in trials if t.fidelity == len(self.prices) - 1]
            front = self.problem.non_dominated(front + _values(complete))
            value = self.problem.hypervolume(front, reference)
            rows.append({"generation": generation, "value": value, "evaluated": evaluated})
        return rows

    def _trial(
        self,
        number: int,
        generation: int,
        origin: str,
        key: str,
        answer: object,
        failure: str | None = None,
        fidelity: int = 0,
    ) -> Trial:
        reason = failure or self.problem.invalid_reason(answer)
        metrics, values = dict[str, float](), None
        if reason is None and isinstance(answer, Mapping):
            metrics = {str(k): float(v) for k, v in answer.items()}
            values = self.problem.values_of(metrics)
        return Trial(
            number=number,
            generation=generation,
            origin=origin,
            arch=key,
            metrics=metrics,
            values=values,
            failure=reason,
            fidelity=fidelity,
        )

    def _stop_when_all_fail(self, new: Sequence[Trial]) -> None:
        streak = 0
        for trial in [*self.trials[-self.max_failures - 1 :], *new]:
            streak = streak + 1 if trial.failure else 0
            if streak > self.max_failures:
                raise HwnasError(
                    f"{streak} evaluations in a row failed, the last one ({trial.arch}) because "
                    f"{trial.failure}; the search stops at generation {self.generations}, "
                    f"which was not stored"
                )

    def _keep(self, trials: Sequence[Trial]) -> None:
        self.trials += trials
        self._reached |= {t.arch: t.fidelity for t in trials}


def _generation(trial: Trial) -> int:
    return trial.generation


def _evaluated(trials: Sequence[Trial]) -> list[tuple[Trial, TrialValues]]:
    """The trials that did not fail, with their values."""
    return [(t, t.values) for t in trials if t.values is not None]


def _values(trials: Sequence[Trial]) -> list[TrialValues]:
    return [values for _, values in _evaluated(trials)]


def save_trials(path: Path, history: History, identity: Mapping[str, Any]) -> None:
    """Write the trials with the identity of their search (`Strategy.identity`)."""
    rows = [t.to_json() for t in history.trials]
    write_json(path, {"schema": SCHEMA, "question": identity, "rows": rows})


def load_trials(path: Path, identity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stored trials, for `History.restore`.

    UsageError when they are of a search with another identity, with the entries that differ;
    DamagedFileError when the file is missing, torn or of another schema.
    """
    stored = read_json(path, "the stored evaluations")
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise DamagedFileError(f"{path}: no evaluations of schema {SCHEMA}; use the hwnas that wrote them")
    was, rows = stored.get("question"), stored.get("rows")
    if not isinstance(was, dict) or not isinstance(rows, list):
        raise DamagedFileError(f"{path} is damaged (no question or no rows); restore it")
    keys = sorted({*was, *identity})
    differ = [f"{k}: {was.get(k)!r} -> {identity.get(k)!r}" for k in keys if was.get(k) != identity.get(k)]
    if differ:
        raise UsageError(
            f"{path} belongs to another search ({'; '.join(differ)}); resume with the settings of that run, "
            f"or start a new one"
        )
    return rows
