"""What is preferred of a front: which pick is chosen, by hand, and where the Bayesian search looks."""

import numpy as np
import pytest

from hwnas.front import Problem, find_preference, make_strategy, run
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


def test_the_search_looks_where_it_is_preferred() -> None:
    space = DepthSpace((4, 5, 6), 4)
    spent: dict[str | None, float] = {}
    for prefer in ("latency", None, "accuracy"):
        problem = Problem.parse(["val_accuracy", "latency_ms"], prefer=prefer)
        strategy = make_strategy("bo", space, problem, population=5, seed=0, costs_of=depth_costs(space))
        run(strategy, DepthEvaluator(space), 8)
        found = [t.metrics["latency_ms"] for t in strategy.history.trials if t.origin == "model"]
        spent[prefer] = float(np.median(found))
        assert strategy.identity.get("prefer") == prefer
    assert spent["latency"] < spent[None] < spent["accuracy"]
