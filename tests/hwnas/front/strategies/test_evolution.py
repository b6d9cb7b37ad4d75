"""Regularised evolution: the contract, and what Real et al. 2019 define: the oldest leaves."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hwnas.core.choice import Arch, Choice
from hwnas.core.space import Space
from hwnas.evaluators import Evaluator
from hwnas.front import Generational, Problem, make_strategy, run
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract

WIDE = Space("wide", [Choice(f"layer{i}", tuple("abcdefgh")) for i in range(12)])
HERO: Arch = (7,) * 12
ACCURACY = Problem.parse(["val_accuracy"])


class TestEvolution(StrategyContract):
    name = "evolution"
    options = {"alive": 12, "tournament": 4}  # noqa: RUF012  (read only)


def evaluator(accuracy: Callable[[Arch], float]) -> Evaluator:
    def evaluate(archs: Sequence[Arch]) -> list[dict[str, float]]:
        return [{"val_accuracy": accuracy(a), "latency_ms": 1.0} for a in archs]

    return evaluate


def evolved(generations: int, accuracy: Callable[[Arch], float], tournament: int = 400) -> Generational:
    """Sixteen alive, eight at a time, the best of all alive is the parent; the hero is the oldest."""
    strategy = make_strategy(
        "evolution",
        WIDE,
        ACCURACY,
        population=8,
        seed=0,
        seeds=[HERO],
        alive=16,
        tournament=tournament,
    )
    run(strategy, evaluator(accuracy), generations)
    return strategy


def n_hero_genes(archs: Sequence[Arch]) -> int:
    return sum(arch.count(7) for arch in archs)


def test_the_best_leaves_when_it_is_the_oldest() -> None:
    """The hero stays the best; apart from it, the fewer of its genes the better."""

    def accuracy(arch: Arch) -> float:
        return 0.9 if arch == HERO else 0.5 - 0.04 * arch.count(7)

    strategy = evolved(2, accuracy)
    # A child is one mutation away: each of 12 genes is redrawn with 1/6, and one in any case. Of the
    # hero's 96 genes about 20 are lost in eight children; of an architecture without it few are won.
    children = strategy.ask()
    assert n_hero_genes(children) > 60
    strategy.tell(children, evaluator(accuracy)(children))
    # Now the sixteen youngest are the children and the generation before, and the hero is not among them.
    assert n_hero_genes(strategy.ask()) < 20


def test_random_architectures_fill_the_population_first() -> None:
    strategy = evolved(3, lambda arch: 0.5)
    origins = [t.origin for t in strategy.history.trials]
    assert origins == ["seed"] + ["random"] * 15 + ["child"] * 8


def test_a_tournament_of_one_is_blind_and_one_of_many_is_not() -> None:
    def accuracy(arch: Arch) -> float:
        return 0.9 if arch == HERO else 0.1

    assert n_hero_genes(evolved(2, accuracy).ask()) > 60
    assert n_hero_genes(evolved(2, accuracy, tournament=1).ask()) < 40


def test_with_two_objectives_a_tournament_is_won_by_the_front() -> None:
    space, problem = DepthSpace(), Problem.parse(["val_accuracy", "latency_ms"])
    volumes = []
    named: dict[str, dict[str, Any]] = {"evolution": {"alive": 24, "tournament": 6}, "random": {}}
    for name, options in named.items():
        strategy = make_strategy(name, space, problem, population=8, seed=0, **options)
        run(strategy, DepthEvaluator(space), 20)
        volumes.append(strategy.history.hypervolumes()[-1]["value"])
    assert volumes[0] > volumes[1]


@pytest.mark.parametrize("options", [{"alive": 0}, {"tournament": 0}, {"alive": 1.5}, {"age": 3}])
def test_unusable_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="evolution"):
        make_strategy("evolution", WIDE, ACCURACY, population=8, seed=0, **options)


def test_the_options_belong_to_the_identity() -> None:
    identity = evolved(0, lambda arch: 0.5).identity
    assert identity["options"] == {"alive": 16, "tournament": 400}
