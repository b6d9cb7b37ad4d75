"""The table of strategies: every file of the folder is in it, tested by the contract, and listed."""

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hwnas.front.strategies
from hwnas.commands.app import app
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
    with pytest.raises(UsageError, match=r"unknown strategy 'nsga4'.*did you mean 'nsga3'"):
        make_strategy("nsga4", DepthSpace(), Problem.parse(["val_accuracy"]), population=4, seed=0)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UsageError, match="strategy 'random' has no option 'speed'; it takes none"):
        make_strategy("random", DepthSpace(), Problem.parse(["val_accuracy"]), population=4, seed=0, speed=2)


def test_the_command_lists_every_strategy_with_its_options() -> None:
    shown = CliRunner().invoke(app, ["strategies"])
    rows = json.loads(CliRunner().invoke(app, ["strategies", "--json"]).stdout)
    assert [r["name"] for r in rows] == sorted(STRATEGIES)
    for row in rows:
        assert row["name"] in shown.stdout and row["title"] in shown.stdout and row["paper"] in shown.stdout
    evolution = next(r for r in rows if r["name"] == "evolution")
    # Real et al. 2019, section 4: a population of 100 and samples of 25.
    assert evolution["options"] == {"alive": 100, "tournament": 25}
    assert "alive=100, tournament=25" in shown.stdout


def test_a_strategy_is_shown_with_what_its_options_mean() -> None:
    shown = json.loads(CliRunner().invoke(app, ["strategies", "show", "pnas", "--json"]).stdout)
    assert shown["options"]["beam"] == 256 and "beam: how many are evaluated in each round" in shown["about"]
    assert "predictor" in CliRunner().invoke(app, ["strategies", "show", "pnas"]).stdout


def test_options_are_read_as_their_defaults_say() -> None:
    row = STRATEGIES["pnas"]
    read = row.read_options(["beam=8", "predictor = lstm", "predictor-epochs=5"])
    assert read == {"beam": 8, "predictor": "lstm", "predictor_epochs": 5}
    assert row.read_options([]) == row.options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beam", "must read NAME=VALUE"),
        ("beam=many", "beam must be a whole number, got 'many'"),
        ("beem=8", "has no option 'beem'.*did you mean 'beam'"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        STRATEGIES["pnas"].read_options([text])
    with pytest.raises(UsageError, match="each name once"):
        STRATEGIES["pnas"].read_options(["beam=8", "beam=9"])
    with pytest.raises(UsageError, match="it takes none"):
        STRATEGIES["random"].read_options(["beam=8"])
