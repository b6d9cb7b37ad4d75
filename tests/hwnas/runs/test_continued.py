"""A search that goes on from a finished one: which options it has, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import cli
from hwnas.runs.config import SearchConfig, load_config
from hwnas.runs.search_run import continued, create_search
from targets.errors import UsageError


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    with create_search(path, SearchConfig(data="digits", seed=7, picks=3, minutes=20.0, workers=4)):
        pass
    (path / "front.json").write_text("{}")
    return path


def options(path: Path, **given: object) -> SearchConfig:
    config, checked = load_config(None, {"continue_from": str(path), **given})
    return continued(config, checked)


def test_it_keeps_what_the_run_is_of_and_takes_what_limits_it(finished: Path) -> None:
    config = options(finished, train_epochs=100, workers=1)
    assert (config.data, config.seed, config.picks) == ("digits", 7, 3)
    assert (config.train_epochs, config.workers, config.minutes) == (100, 1, None)
    assert config.continue_from == str(finished)
    assert options(finished, minutes=5.0).minutes == 5.0


def test_another_search_is_what_it_was() -> None:
    config, given = load_config(None, {"data": "digits"})
    assert continued(config, given) is config


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "--continue-from needs the length: --train-epochs, or --minutes"),
        (
            {"train_epochs": 2, "seed": 1, "budgets": ["macs<=3"]},
            "--budget, --seed: a search that goes on keeps",
        ),
        ({"train_epochs": 0}, "--train-epochs is 0; allowed: 1 to 10,000"),
    ],
)
def test_what_cannot_be_is_refused(finished: Path, given: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        options(finished, **given)
    assert told in str(refusal.value)


def test_a_search_that_is_not_finished_is_gone_on_with_first(finished: Path) -> None:
    (finished / "front.json").unlink()
    with pytest.raises(UsageError, match=f"is not finished; `hwnas search --resume {finished}`"):
        options(finished, train_epochs=2)


def test_the_command_says_what_is_wrong_at_once(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["search", "--continue-from", str(tmp_path / "no"), "--train-epochs", "2"]) == 2
    assert "is no run directory" in capsys.readouterr().err
    line = ["search", "--resume", str(finished), "--continue-from", str(finished), "--train-epochs", "2"]
    assert cli.run(line) == 2
    assert "leave --continue-from away" in capsys.readouterr().err
