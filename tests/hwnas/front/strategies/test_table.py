"""The table of strategies: every file of the folder is in it, tested by the contract, and listed."""

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
import hwnas.front.strategies
from hwnas.front import STRATEGIES, Problem, make_strategy
from targets.errors import UsageError
from tests.support.strategies import DepthSpace, StrategyContract

FILES = sorted(p.stem for p in Path(hwnas.front.strategies.__file__).parent.glob("[!_]*.py"))


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_a_strategy_that_is_tested_by_the_contract(file: str) -> None:
    defined = {r.name for r in STRATEGIES.parts.values() if r.make.__module__.endswith(f".{file}")}
    tests = importlib.import_module(f"tests.hwnas.front.strategies.test_{file}")
    tested = {
        c.name
        for c in vars(tests).values()
        if isinstance(c, type) and issubclass(c, StrategyContract) and c is not StrategyContract
    }
    assert defined and defined == tested


def test_an_unknown_strategy_gets_a_hint() -> None:
    with pytest.raises(UsageError, match=r"unknown strategy 'nsga3'.*did you mean 'nsga2'"):
        make_strategy("nsga3", DepthSpace(), Problem.parse(["val_accuracy"]), population=4, seed=0)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UsageError, match="strategy 'random' has no option 'speed'; it takes none"):
        make_strategy("random", DepthSpace(), Problem.parse(["val_accuracy"]), population=4, seed=0, speed=2)


def test_the_command_lists_every_strategy_with_its_options() -> None:
    shown = CliRunner().invoke(cli.app, ["strategies"])
    rows = json.loads(CliRunner().invoke(cli.app, ["strategies", "--json"]).stdout)
    assert [r["name"] for r in rows] == sorted(STRATEGIES)
    for row in rows:
        assert row["name"] in shown.stdout and row["title"] in shown.stdout and row["paper"] in shown.stdout
    evolution = next(r for r in rows if r["name"] == "evolution")
    # Real et al. 2019, section 4: a population of 100 and samples of 25.
    assert evolution["options"] == {"alive": 100, "tournament": 25}
    assert "alive=100, tournament=25" in shown.stdout
