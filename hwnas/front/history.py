"""The record of a discrete search: one row per evaluated architecture, never two for the same one.

The rows are the truth of a run (`evaluated.json`); the strategy's state, the hypervolume, the front
and `study.db` all follow from them, which makes resuming exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.errors import DamagedFileError, HwnasError, UsageError
from targets.files import read_json, write_json

from .objectives import Goals, Judged
from .pareto import non_dominated

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation.

    number: its place in the run. origin: random, seed, child (bred) or mutant (a bred duplicate,
    mutated until new). arch: the key of the space. metrics and judged are empty and None exactly
    when `failure` gives a reason.
    """

    number: int
    generation: int
    origin: str
    arch: str
    metrics: Mapping[str, float]
    judged: Judged | None
    failure: str | None = None

    @property
    def feasible(self) -> bool:
        """Whether it was evaluated and keeps every budget."""
        return self.judged is not None and self.judged.feasible

    def to_json(self) -> dict[str, Any]:
        """The row as stored; constraints are left out because the budgets give them back."""
        return {
            "number": self.number,
            "generation": self.generation,
            "origin": self.origin,
            "arch": self.arch,
            "metrics": dict(self.metrics),
            "feasible": self.feasible,
            "failure": self.failure,
        }


class Ledger:
    """Rows of a run, and the door that every metric passes.

    max_failures: how many evaluations in a row may fail before the search stops.
    """

    def __init__(self, space: Space, goals: Goals, *, max_failures: int = 10) -> None:
        self.space, self.goals, self.max_failures = space, goals, max_failures
        self.rows: list[Row] = []
        self._keys: set[str] = set()

    @property
    def generations(self) -> int:
        """How many generations are complete."""
        return self.rows[-1].generation + 1 if self.rows else 0

    @property
    def keys(self) -> frozenset[str]:
        """Identities of all architectures that were evaluated, failed ones included."""
        return frozenset(self._keys)

    def of_generation(self, generation: int) -> list[Row]:
        """The rows of one generation, failed ones included."""
        return [r for r in self.rows if r.generation == generation]

    def add(self, archs: Sequence[Arch], origins: Sequence[str], metrics: Sequence[object]) -> list[Row]:
        """Record one generation; what an evaluator got wrong becomes a failed row with the value.

        Raises HwnasError, and records nothing, when `metrics` are not one per architecture, or when
        more than `max_failures` evaluations in a row failed: the cause is then not the architecture.
        """
        if len(metrics) != len(archs):
            raise HwnasError(f"the evaluator returned {len(metrics)} results for {len(archs)} architectures")
        generation, new, keys = self.generations, list[Row](), set(self._keys)
        for arch, origin, found in zip(archs, origins, metrics, strict=True):
            key = self.space.key(arch)
            if key in keys:
                raise HwnasError(f"architecture {key} was evaluated before; ask for new ones")
            keys.add(key)
            new.append(self._row(len(self.rows) + len(new), generation, origin, key, found))
        streak = 0
        for row in self.rows[-self.max_failures - 1 :] + new:
            streak = streak + 1 if row.failure else 0
            if streak > self.max_failures:
                raise HwnasError(
                    f"{streak} evaluations in a row failed, the last one ({row.arch}) because "
                    f"{row.failure}; the search stops at generation {generation}, which was not stored"
                )
        self._keep(new)
        return new

    def restore(self, stored: Sequence[Mapping[str, Any]]) -> None:
        """Take over stored rows; DamagedFileError names the first that does not fit this search."""
        if self.rows:
            raise UsageError("rows can only be restored into a fresh ledger")
        new: list[Row] = []
        keys: set[str] = set()
        for number, data in enumerate(stored):
            try:
                row = self._row(
                    number, data["generation"], data["origin"], data["arch"], data["metrics"], data["failure"]
                )
                same = row.to_json() == data and self.space.key(self.space.from_string(row.arch)) == row.arch
                step = row.generation - (new[-1].generation if new else 0)
            except (KeyError, TypeError, AttributeError, UsageError) as error:
                raise DamagedFileError(
                    f"row {number} of the stored evaluations: cannot be read ({error!r})"
                ) from error
            if not same or row.arch in keys or step not in ((0, 1) if new else (0,)):
                raise DamagedFileError(
                    f"row {number} of the stored evaluations does not fit what comes before it or the goals "
                    f"of this search: {data}; restore the file, or start a new run"
                )
            keys.add(row.arch)
            new.append(row)
        self._keep(new)

    def front(self, metrics: Sequence[str] | None = None) -> list[Row]:
        """Feasible rows that no other dominates, over all objectives or those named."""
        rows = [r for r in self.rows if r.feasible]
        values = self.goals.minimised([r.judged for r in rows if r.judged])
        names = [o.metric for o in self.goals.objectives]
        axes = [names.index(m) for m in (metrics or names)]
        return [r for r, keep in zip(rows, non_dominated(values[:, axes]), strict=True) if keep]

    def hypervolumes(self) -> list[dict[str, float]]:
        """Per generation: the hypervolume of all feasible architectures up to it (`Goals`)."""
        reference = self.goals.reference([r.judged for r in self.of_generation(0) if r.judged])
        out, front, evaluated = list[dict[str, float]](), list[Judged](), 0
        for generation in range(self.generations):
            rows = self.of_generation(generation)
            evaluated += len(rows)
            front = self.goals.best(front + [r.judged for r in rows if r.judged])
            value = self.goals.hypervolume(front, reference)
            out.append({"generation": generation, "value": value, "evaluated": evaluated})
        return out

    def _row(
        self, number: int, generation: int, origin: str, key: str, found: object, failure: str | None = None
    ) -> Row:
        reason = failure or self.goals.refusal(found)
        if reason or not isinstance(found, Mapping):
            return Row(number, generation, origin, key, {}, None, reason)
        metrics = {str(k): float(v) for k, v in found.items()}
        return Row(number, generation, origin, key, metrics, self.goals.judge(metrics))

    def _keep(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        self._keys |= {r.arch for r in rows}


def save_rows(path: Path, ledger: Ledger, question: Mapping[str, Any]) -> None:
    """Write the rows with the question they answer (`Generational.question`)."""
    write_json(path, {"schema": SCHEMA, "question": question, "rows": [r.to_json() for r in ledger.rows]})


def load_rows(path: Path, question: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stored rows, for `Ledger.restore`.

    UsageError when they answer another question (a resumed run never changes it), with the entries
    that differ; DamagedFileError when the file is missing, torn or of another schema.
    """
    stored = read_json(path, "the stored evaluations")
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise DamagedFileError(f"{path}: no evaluations of schema {SCHEMA}; use the hwnas that wrote them")
    was, rows = stored.get("question"), stored.get("rows")
    if not isinstance(was, dict) or not isinstance(rows, list):
        raise DamagedFileError(f"{path} is damaged (no question or no rows); restore it")
    keys = sorted({*was, *question})
    differ = [f"{k}: {was.get(k)!r} -> {question.get(k)!r}" for k in keys if was.get(k) != question.get(k)]
    if differ:
        raise UsageError(
            f"{path} belongs to another search ({'; '.join(differ)}); resume with the settings of that run, "
            f"or start a new one"
        )
    return rows
