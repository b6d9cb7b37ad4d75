"""Optuna's samplers as strategies: the contract, silence, and that what they sample is used."""

from collections.abc import Mapping
from typing import Any

import optuna
import pytest

from hwnas.core.choice import Choice
from hwnas.core.space import Space
from hwnas.front import Problem, make_strategy, run
from targets.errors import UsageError
from tests.support.spaces import cell_space
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract

PROBLEM = Problem.parse(["val_accuracy", "latency_ms"])


class TestTpe(StrategyContract):
    name = "tpe"


class TestGp(StrategyContract):
    """Before its Gaussian process, which takes seconds per architecture, begins."""

    name = "gp"
    options: Mapping[str, Any] = {"n_start": 1000}


@pytest.mark.slow
def test_the_process_of_optuna_finds_the_only_good_option() -> None:
    space = Space("one", [Choice(f"c{i}", tuple("abcdef")) for i in range(3)])
    strategy = make_strategy("gp", space, Problem.parse(["val_accuracy"]), population=1, seed=0, n_start=8)
    run(strategy, lambda archs: [{"val_accuracy": a.count(5) / 3} for a in archs], 14)
    # Random ones have an f in 1 of 6 choices.
    later = [space.from_string(t.arch).count(5) for t in strategy.history.trials[8:]]
    assert sum(later) >= 6


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_no_start_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}': n_start must be at least 1"):
        make_strategy(name, DepthSpace(), PROBLEM, population=4, seed=0, n_start=0)


def test_edges_that_are_kept_per_node_are_repaired() -> None:
    """A sampler knows nothing of nodes: nearly all that it draws in such a space keeps too many edges."""
    space = cell_space("darts")
    strategy = make_strategy("tpe", space, Problem.parse(["val_accuracy"]), population=4, seed=0, n_start=2)
    run(strategy, lambda archs: [{"val_accuracy": a[0] / 10} for a in archs], 3)
    assert [t.origin for t in strategy.history.trials] == ["sampled"] * 12


def test_two_choices_of_one_name_are_refused() -> None:
    twice = Space("twice", [Choice("a", ("x", "y")), Choice("a", ("x", "y"))])
    with pytest.raises(UsageError, match="share a name"):
        make_strategy("tpe", twice, Problem.parse(["val_accuracy"]), population=4, seed=0)


def test_optuna_is_silent_and_its_verbosity_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    space = DepthSpace()
    run(make_strategy("tpe", space, PROBLEM, population=4, seed=0), DepthEvaluator(space), 3)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
