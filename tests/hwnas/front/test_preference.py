"""What is preferred of a front: which pick is chosen, by hand, and where the Bayesian search looks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwnas.front import Problem, TrialValues, find_preference, make_strategy, run
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, depth_costs

LATENCY = np.array([4.0, 1.0, 2.0, 4.5, 1.0])
ACCURACY = np.array([0.90, 0.50, 0.80, 0.90, 0.40])


@pytest.mark.parametrize(("name", "index"), [("accuracy", 0), ("balance", 2), ("latency", 1)])
def test_the_chosen_pick(name: str, index: int) -> None:
    """Of equally accurate ones the faster, of equally fast ones the more accurate; (2, 80 %) is the knee."""
    assert find_preference(name).choose(LATENCY, ACCURACY) == index


def test_an_unknown_preference_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown preference 'acuracy'.*did you mean 'accuracy'"):
        Problem.parse(["val_accuracy"], prefer="acuracy")


def values(*rows: tuple[float, float]) -> list[TrialValues]:
    return [TrialValues(objectives=row, constraints={}) for row in rows]


def test_how_far_from_what_is_preferred() -> None:
    """The front runs from 1 to 16 ms and from an error of 0.4 to 0.1: four and two doublings."""
    rows = values((0.6, 1.0), (0.8, 4.0), (0.9, 16.0), (0.5, 8.0))
    objectives = ["val_accuracy", "latency_ms"]
    by_latency = Problem.parse(objectives, prefer="latency").outside(rows)
    assert by_latency == pytest.approx([0, 0.1, 0.6, 0.35])  # beyond 0.4
    by_accuracy = Problem.parse(objectives, prefer="accuracy").outside(rows)
    assert by_accuracy == pytest.approx([0.6, 0.1, 0, np.log2(5) / 2 - 0.4])
    for prefer in (None, "balance"):
        assert not Problem.parse(objectives, prefer=prefer).outside(rows).any()


def test_budgets_come_before_what_is_preferred() -> None:
    inside, slow, over = values((0.6, 1.0), (0.9, 11.0), (0.5, 1.0))
    over = replace(over, constraints={"macs": 0.1})
    ranks = Problem.parse(["val_accuracy", "latency_ms"], prefer="latency").ranks([inside, slow, over])
    assert ranks.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["bo", "nsga2", "nsga3", "evolution", "local-search", "bananas"])
def test_every_search_looks_where_it_is_preferred(name: str) -> None:
    space = DepthSpace((4, 5, 6), 4)
    options: dict[str, Any] = {"alive": 20, "tournament": 5} if name == "evolution" else {}
    rounds = 8 if name in ("bo", "bananas") else 40
    spent: dict[str | None, float] = {}
    for prefer in ("latency", None, "accuracy"):
        problem = Problem.parse(["val_accuracy", "latency_ms"], prefer=prefer)
        strategy = make_strategy(
            name,
            space,
            problem,
            population=5 if name in ("bo", "bananas") else 10,
            seed=0,
            costs_of=depth_costs(space),
            **options,
        )
        run(strategy, DepthEvaluator(space), rounds)
        found = [t.metrics["latency_ms"] for t in strategy.history.trials if t.origin != "random"]
        spent[prefer] = float(np.median(found[len(found) // 2 :]))
        assert strategy.identity.get("prefer") == prefer
    assert spent["latency"] < spent["accuracy"] and spent["latency"] <= spent[None] <= spent["accuracy"]
