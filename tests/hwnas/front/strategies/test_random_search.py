"""Random search: the contract, and draws that no result changes."""

from hwnas.front import Problem, make_strategy
from tests.support.strategies import DepthSpace, StrategyContract


class TestRandomSearch(StrategyContract):
    name = "random"


def test_results_do_not_change_what_is_drawn() -> None:
    space, problem = DepthSpace(), Problem.parse(["val_accuracy"])
    drawn = []
    for best in (0, 7):
        strategy = make_strategy("random", space, problem, population=8, seed=0)
        asked = strategy.ask()
        strategy.tell(asked, [{"val_accuracy": float(i == best)} for i in range(8)])
        drawn.append(strategy.ask())
    assert drawn[0] == drawn[1]
