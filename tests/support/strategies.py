"""A space small enough to enumerate, with dead parts, and the contract of every strategy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwnas.core.choice import Arch, Choice
from hwnas.core.space import Space
from hwnas.evaluators import EvaluationFailed
from hwnas.front import CostsOf, Problem, Strategy, make_strategy, run
from targets.errors import DamagedFileError, HwnasError, UsageError


class DepthSpace(Space):
    """A depth, and an operation per layer of which those beyond the depth are dead.

    Canonical architectures: sum of n_options ** depth over the depths.
    """

    def __init__(self, depths: Sequence[int] = (3, 4, 5), n_options: int = 4) -> None:
        self.depths = tuple(depths)
        layers = [
            Choice(f"layer{i}.op", tuple(f"op{k}" for k in range(n_options))) for i in range(max(depths))
        ]
        super().__init__("depth", [Choice("depth", tuple(str(d) for d in depths)), *layers])

    def canonical(self, arch: Arch) -> Arch:
        """Operations of dead layers become the first one."""
        depth = self.depths[arch[0]]
        return (arch[0], *(op if i < depth else 0 for i, op in enumerate(arch[1:])))

    @property
    def n_sizes(self) -> int:
        """One per depth (`GrowingSpace`)."""
        return len(self.depths)

    def size_of(self, arch: Arch) -> int:
        """1 for the smallest depth."""
        return arch[0] + 1

    def smallest(self) -> Iterator[Arch]:
        """All operations of the smallest depth."""
        return self._longer((0,), self.depths[0])

    def grown(self, arch: Arch) -> Iterator[Arch]:
        """More layers at the end."""
        if arch[0] + 1 == self.n_sizes:
            return iter(())
        depth = self.depths[arch[0]]
        return self._longer((arch[0] + 1, *arch[1 : 1 + depth]), self.depths[arch[0] + 1] - depth)

    def _longer(self, begin: Arch, n: int) -> Iterator[Arch]:
        missing = len(self.choices) - len(begin) - n
        for ops in itertools.product(range(len(self.choices[1].options)), repeat=n):
            yield (*begin, *ops, *(0,) * missing)


def depth_metrics(space: DepthSpace, arch: Arch) -> dict[str, float]:
    """Metrics in which the best operation of a layer depends on its neighbour.

    Latency is additive. Accuracy: operation k of layer i is worth sqrt(k) less for a neighbour that
    is the same, so that fronts are neither separable nor all of one operation.
    """
    ops = space.canonical(arch)[1 : 1 + space.depths[arch[0]]]
    latency_ms = 1.0 + sum((1 + 0.3 * i) * k**1.3 for i, k in enumerate(ops)) + 0.5 * len(ops)
    same = sum(a == b for a, b in itertools.pairwise(ops))
    gain = sum(np.sqrt(k) * (1 + 0.1 * ((i * 7 + k * 3) % 5)) for i, k in enumerate(ops)) - 0.7 * same
    macs = sum(1e6 * (k + 1) for k in ops)
    return {"val_accuracy": float(1 / (1 + np.exp(2 - gain / 3))), "latency_ms": latency_ms, "macs": macs}


def depth_costs(space: Space) -> CostsOf:
    """The costs among `depth_metrics`, as a search may know them before an evaluation."""

    def costs(archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        assert isinstance(space, DepthSpace)
        rows = [depth_metrics(space, a) for a in archs]
        return {m: np.array([r[m] for r in rows]) for m in ("latency_ms", "macs")}

    return costs


class DepthEvaluator:
    """`depth_metrics` that counts its calls; `broken` answers instead for the keys that it holds."""

    def __init__(self, space: DepthSpace, broken: Mapping[str, object] | None = None) -> None:
        self.space, self.broken = space, dict(broken or {})
        self.calls: list[str] = []

    def __call__(self, archs: Sequence[Arch]) -> list[Any]:
        """One answer per architecture."""
        keys = [self.space.key(a) for a in archs]
        self.calls += keys
        return [self.broken.get(k, depth_metrics(self.space, a)) for k, a in zip(keys, archs, strict=True)]


class StrategyContract:
    """What every strategy of the table does; inherit it and give its `name`.

    options: of the strategy, small enough that it goes to work within a few generations of 8.
    knows_costs: whether it gets the costs of architectures before an evaluation.
    """

    name: str
    options: Mapping[str, Any] = {}
    knows_costs = False

    def make(
        self,
        space: Space,
        problem: Problem,
        *,
        population: int = 8,
        seed: int = 0,
        seeds: Sequence[Arch] = (),
    ) -> Strategy:
        """The strategy under test."""
        return make_strategy(
            self.name,
            space,
            problem,
            population=population,
            seed=seed,
            seeds=seeds,
            costs_of=depth_costs(space) if self.knows_costs else None,
            **self.options,
        )

    @pytest.fixture
    def space(self) -> DepthSpace:
        """1,344 architectures in 3,072 tuples."""
        return DepthSpace()

    @pytest.fixture
    def problem(self) -> Problem:
        """Accuracy and latency."""
        return Problem.parse(["val_accuracy", "latency_ms"])

    def test_nothing_is_evaluated_twice(self, space: DepthSpace, problem: Problem) -> None:
        evaluator = DepthEvaluator(space)
        assert run(self.make(space, problem), evaluator, 12) == "generations"
        assert len(evaluator.calls) == len(set(evaluator.calls)) == 12 * 8

    def test_a_small_space_is_used_up_and_said_to_be(self, problem: Problem) -> None:
        space = DepthSpace((1, 2), 3)
        strategy, evaluator = self.make(space, problem, population=5), DepthEvaluator(space)
        assert run(strategy, evaluator, 10) == "exhausted"
        assert strategy.exhausted and len(evaluator.calls) == 3 + 9
        assert strategy.ask() == []

    def test_the_same_seed_gives_the_same_trials_and_another_gives_others(
        self, space: DepthSpace, problem: Problem
    ) -> None:
        trials = []
        for seed in (3, 3, 4):
            strategy = self.make(space, problem, seed=seed)
            run(strategy, DepthEvaluator(space), 4)
            trials.append(strategy.history.trials)
        assert trials[0] == trials[1] != trials[2]

    def test_asking_again_gives_the_same(self, space: DepthSpace, problem: Problem) -> None:
        strategy = self.make(space, problem)
        run(strategy, DepthEvaluator(space), 2)
        assert strategy.ask() == strategy.ask()

    def test_killed_at_any_generation_and_restored_it_goes_on_the_same(
        self, space: DepthSpace, problem: Problem
    ) -> None:
        broken = {k: EvaluationFailed("oom") for k in list(map(space.key, space.enumerate()))[::7]}
        whole = self.make(space, problem)
        run(whole, DepthEvaluator(space, broken), 7)
        assert any(r.failure for r in whole.history.trials)
        for killed_at in range(7):
            stored = [r.to_json() for r in whole.history.trials if r.generation < killed_at]
            again = self.make(space, problem)
            again.restore(stored)
            again.ask()  # a process that was killed while it evaluated
            again = self.make(space, problem)
            again.restore(stored)
            run(again, DepthEvaluator(space, broken), 7)
            assert again.history.trials == whole.history.trials

    def test_seeds_come_first_and_once(self, space: DepthSpace, problem: Problem) -> None:
        seeds = [(0, 1, 1, 1, 0, 0), (0, 1, 1, 1, 3, 3), (2, 3, 3, 3, 3, 3)]  # the second equals the first
        strategy = self.make(space, problem, seeds=seeds)
        asked = strategy.ask()
        assert asked[:2] == [seeds[0], seeds[2]] and len(asked) == 8
        trials = strategy.tell(asked, DepthEvaluator(space)(asked))
        assert [t.origin == "seed" for t in trials] == [True] * 2 + [False] * 6

    def test_more_seeds_than_a_generation_holds_are_all_asked(
        self, space: DepthSpace, problem: Problem
    ) -> None:
        seeds = [(0, a, b, 0, 0, 0) for a, b in itertools.product(range(4), repeat=2)]
        strategy = self.make(space, problem, population=8, seeds=seeds)
        assert strategy.ask() == seeds and not strategy.exhausted
        run(strategy, DepthEvaluator(space), 3)
        assert [len(strategy.history.of_generation(g)) for g in range(3)] == [16, 8, 8]

    def test_wrong_values_fail_their_trial_only(self, space: DepthSpace, problem: Problem) -> None:
        strategy = self.make(space, problem)
        asked = strategy.ask()
        good = depth_metrics(space, asked[0])
        wrong: list[tuple[Any, str]] = [
            ({**good, "latency_ms": float("nan")}, "nan"),
            ({**good, "latency_ms": float("inf")}, "inf"),
            ({**good, "latency_ms": -1.5}, "-1.5"),
            ({**good, "val_accuracy": 1.01}, "1.01"),
            ({**good, "val_accuracy": "0.9"}, "'0.9'"),
            ({"val_accuracy": 0.5}, "latency_ms"),
            (None, "None"),
        ]
        trials = strategy.tell(asked, [good, *(w for w, _ in wrong)])
        assert trials[0].failure is None
        for trial, (_, text) in zip(trials[1:], wrong, strict=True):
            assert trial.failure is not None and text in trial.failure and not trial.feasible
        assert strategy.history.front() == [trials[0]]
        assert set(strategy.ask()).isdisjoint(asked)

    def test_a_broken_evaluator_stops_the_search(self, space: DepthSpace, problem: Problem) -> None:
        def broken(archs: Sequence[Arch]) -> list[EvaluationFailed]:
            return [EvaluationFailed("no supernet")] * len(archs)

        strategy = self.make(space, problem)
        with pytest.raises(HwnasError, match=r"11 evaluations in a row failed.*no supernet"):
            run(strategy, broken, 5)
        assert strategy.history.generations == 1

    def test_it_takes_only_answers_to_what_it_asked(self, space: DepthSpace, problem: Problem) -> None:
        strategy = self.make(space, problem)
        asked = strategy.ask()
        with pytest.raises(UsageError, match="last ask"):
            strategy.tell(asked[::-1], DepthEvaluator(space)(asked))
        with pytest.raises(HwnasError, match="7 results for 8"):
            strategy.tell(asked, DepthEvaluator(space)(asked)[1:])
        strategy.tell(asked, DepthEvaluator(space)(asked))
        with pytest.raises(UsageError, match="last ask"):
            strategy.tell(asked, DepthEvaluator(space)(asked))

    def test_more_are_asked_while_others_are_still_evaluated(
        self, space: DepthSpace, problem: Problem
    ) -> None:
        strategy, evaluator = self.make(space, problem), DepthEvaluator(space)
        open_archs = strategy.ask(3)
        for _ in range(20):
            first, *open_archs = open_archs
            strategy.tell([first], evaluator([first]))
            open_archs += strategy.ask(1)
        assert len(open_archs) == 3 and len(evaluator.calls) == len(set(evaluator.calls)) == 20
        assert {*map(space.key, open_archs)}.isdisjoint(evaluator.calls)
        assert strategy.tell(open_archs[1:], evaluator(open_archs[1:]))[0].generation == 20
        with pytest.raises(UsageError, match="from 1"):
            strategy.ask(0)

    def test_trials_of_another_search_are_refused(self, space: DepthSpace, problem: Problem) -> None:
        strategy = self.make(space, problem)
        run(strategy, DepthEvaluator(space), 1)
        rows = [r.to_json() for r in strategy.history.trials]
        with pytest.raises(DamagedFileError, match="row 0"):
            self.make(DepthSpace((1, 2), 3), problem).restore(rows)

    @pytest.mark.parametrize(("population", "seed"), [(0, 0), (8, -1)])
    def test_impossible_settings_are_refused(
        self, space: DepthSpace, problem: Problem, population: int, seed: int
    ) -> None:
        with pytest.raises(UsageError):
            self.make(space, problem, population=population, seed=seed)
