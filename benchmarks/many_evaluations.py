"""CPU time of NSGA-II itself: 20,000 evaluations of a table, ours beside pymoo's, at equal population.

python -m benchmarks.many_evaluations [--evaluations 20000] [--population 100] [--seeds 3]

Ten choices of four options and two objectives, both looked up in tables made once, so that what is timed is
the strategy. Runs of the two alternate. Ours never asks for an architecture twice and keeps every trial;
pymoo drops duplicates within a generation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas.core.choice import Arch, Choice
from hwnas.core.space import Space
from hwnas.evaluators import Metrics
from hwnas.front import Problem, make_strategy, run

N_CHOICES, N_OPTIONS = 10, 4


class Results:
    """What is known of 4^10 architectures: accuracy, with interactions of neighbours, and latency."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.space = Space(
            "table", [Choice(f"c{i}", tuple(map(str, range(N_OPTIONS)))) for i in range(N_CHOICES)]
        )
        alone, pairs = (
            rng.normal(size=(N_CHOICES, N_OPTIONS)),
            rng.normal(size=(N_CHOICES, N_OPTIONS, N_OPTIONS)),
        )
        digits = np.indices((N_OPTIONS,) * N_CHOICES).reshape(N_CHOICES, -1)
        gain = sum(alone[i][digits[i]] for i in range(N_CHOICES))
        gain = gain + sum(pairs[i][digits[i], digits[i - 1]] for i in range(N_CHOICES))
        self.accuracy = 1 / (1 + np.exp(-gain / 4))
        self.latency_ms = 1 + sum(np.arange(N_OPTIONS)[digits[i]] * (1 + 0.1 * i) for i in range(N_CHOICES))
        self.weights = N_OPTIONS ** np.arange(N_CHOICES)[::-1]

    def rows(self, archs: Sequence[Sequence[int]]) -> Any:
        """Where architectures stand in the tables."""
        return np.asarray(archs, dtype=np.int64) @ self.weights


def ours_s(results: Results, n: int, population: int, seed: int) -> float:
    """CPU seconds of `nsga2`."""
    problem = Problem.parse(["val_accuracy", "latency_ms"])

    def evaluate(archs: Sequence[Arch]) -> list[Metrics]:
        rows = results.rows(archs)
        pairs = zip(results.accuracy[rows].tolist(), results.latency_ms[rows].tolist(), strict=True)
        return [{"val_accuracy": a, "latency_ms": t} for a, t in pairs]

    strategy = make_strategy("nsga2", results.space, problem, population=population, seed=seed)
    began = time.process_time()
    run(strategy, evaluate, n // population)
    seconds = time.process_time() - began
    assert len(strategy.history.trials) == n
    return seconds


def pymoo_s(results: Results, n: int, population: int, seed: int) -> float:
    """CPU seconds of pymoo's NSGA-II."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Table(PymooProblem):  # type: ignore[misc]  # pymoo has no types
        def __init__(self) -> None:
            super().__init__(n_var=N_CHOICES, n_obj=2, xl=0, xu=N_OPTIONS - 1, vtype=int)

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            rows = results.rows(x)
            out["F"] = np.column_stack([1 - results.accuracy[rows], results.latency_ms[rows]])

    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=TwoPointCrossover(),
        mutation=PM(vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    began = time.process_time()
    minimize(Table(), algorithm, ("n_gen", n // population), seed=seed, verbose=False)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--population", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results = Results()
    rows = []
    for seed in range(options.seeds):
        rows.append([f(results, options.evaluations, options.population, seed) for f in (ours_s, pymoo_s)])
        print(f"seed {seed}: nsga2 {rows[-1][0]:.2f} CPU-s, pymoo {rows[-1][1]:.2f}", flush=True)
    ours, pymoo = np.median(rows, axis=0)
    print(f"{options.evaluations:,} evaluations, population {options.population}, median of {options.seeds}:")
    print(f"nsga2 {ours:.2f} CPU-s, pymoo {pymoo:.2f}: {ours / pymoo:.2f} times as long")


if __name__ == "__main__":
    main()
