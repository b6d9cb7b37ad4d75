"""study.db: equal to the trials, completed when behind, rebuilt when damaged, never in the way."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from hwnas.core.budget import Budget
from hwnas.evaluators import EvaluationFailed
from hwnas.front import OptunaExport, Problem, Trial, make_strategy, run
from hwnas.front.optuna_export import STUDY
from tests.support.strategies import DepthEvaluator, DepthSpace

SPACE = DepthSpace()
PROBLEM = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 14.0)])


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    broken = {k: EvaluationFailed("oom") for k in list(map(SPACE.key, SPACE.enumerate()))[::5]}
    strategy = make_strategy("nsga2", SPACE, PROBLEM, population=6, seed=0)
    run(strategy, DepthEvaluator(SPACE, broken), 3)
    return strategy.history.trials


def stored_trials(path: Path) -> list[optuna.trial.FrozenTrial]:
    """As any other program would read them."""
    return stored_study(path).trials


def stored_study(path: Path) -> Any:
    """`trials` and `metric_names`, without an open file."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    try:
        study = optuna.load_study(study_name=STUDY, storage=storage)
        return SimpleNamespace(trials=study.trials, metric_names=study.metric_names)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def check(path: Path, trials: list[Trial]) -> None:
    stored = stored_trials(path)
    assert [t.user_attrs["arch"] for t in stored] == [r.arch for r in trials]
    for optuna_trial, trial in zip(stored, trials, strict=True):
        assert optuna_trial.number == trial.number
        assert optuna_trial.system_attrs["NSGAIISampler:generation"] == trial.generation
        if trial.values:
            assert optuna_trial.values == list(trial.values.objectives)
            assert optuna_trial.constraints == trial.values.constraints
        else:
            assert optuna_trial.state == optuna.trial.TrialState.FAIL
            assert optuna_trial.user_attrs["failure"] == "oom"


def test_a_kill_while_it_is_first_written_leaves_nothing_of_it(
    tmp_path: Path, trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, warnings = tmp_path / "study.db", list[str]()
    with monkeypatch.context() as patch:

        def stopped(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(optuna.Study, "add_trials", stopped)
        with pytest.raises(KeyboardInterrupt):
            OptunaExport(path, SPACE, PROBLEM, warnings.append).update(trials[:6])
    assert not path.exists()
    OptunaExport(path, SPACE, PROBLEM, warnings.append).update(trials[:6])
    check(path, trials[:6])
    assert warnings == []
    assert [p.name for p in tmp_path.iterdir()] == ["study.db"]


@pytest.mark.slow
def test_it_grows_with_the_generations_and_says_nothing(
    tmp_path: Path, trials: list[Trial], capfd: pytest.CaptureFixture[str]
) -> None:
    path, warnings = tmp_path / "study.db", list[str]()
    export = OptunaExport(path, SPACE, PROBLEM, warnings.append)
    for n in (6, 12, len(trials), len(trials)):
        export.update(trials[:n])
        check(path, trials[:n])
    assert any(r.failure for r in trials)
    assert warnings == [] and capfd.readouterr() == ("", "")
    assert [p.name for p in tmp_path.iterdir()] == ["study.db"]


@pytest.mark.slow
def test_a_torn_generation_is_completed(tmp_path: Path, trials: list[Trial]) -> None:
    """Killed while the trials of a generation were added: some of them are there."""
    path, warnings = tmp_path / "study.db", list[str]()
    OptunaExport(path, SPACE, PROBLEM, warnings.append).update(trials[:9])
    OptunaExport(path, SPACE, PROBLEM, warnings.append).update(trials[:12])
    check(path, trials[:12])
    assert warnings == []


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def scrambled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(bytes(content))


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text)")


def reordered(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE trial_user_attributes SET value_json='\"x\"' WHERE key='arch'")


def redirected(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE study_directions SET direction='MINIMIZE'")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, trials: list[Trial]) -> bytes:
    """A sound study of the first four trials."""
    path = tmp_path_factory.mktemp("export") / "study.db"
    OptunaExport(path, SPACE, PROBLEM, pytest.fail).update(trials[:4])
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [emptied, halved, zeroed, scrambled, foreign, reordered, redirected])
def test_a_damaged_file_is_kept_aside_and_rebuilt_with_a_warning(
    tmp_path: Path, trials: list[Trial], written: bytes, damage: Callable[[Path], None]
) -> None:
    path, warnings = tmp_path / "study.db", list[str]()
    path.write_bytes(written)
    damage(path)
    damaged = path.read_bytes()
    OptunaExport(path, SPACE, PROBLEM, warnings.append).update(trials[:5])
    check(path, trials[:5])
    assert len(warnings) == 1 and "study.db" in warnings[0] and "written anew" in warnings[0]
    # Optuna has added its tables to the foreign one before it can say that the study is missing.
    assert len((tmp_path / "study.db.damaged").read_bytes()) >= len(damaged)


@pytest.mark.slow
def test_a_file_that_another_program_locks_costs_a_warning(
    tmp_path: Path, trials: list[Trial], written: bytes
) -> None:
    path, warnings = tmp_path / "study.db", list[str]()
    path.write_bytes(written)
    export = OptunaExport(path, SPACE, PROBLEM, warnings.append)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        export.update(trials[:5])
    assert len(warnings) == 1 and "locked" in warnings[0]
    export.update(trials[:6])
    check(path, trials[:6])


def test_a_place_that_cannot_be_written_costs_a_warning(tmp_path: Path, trials: list[Trial]) -> None:
    warnings = list[str]()
    OptunaExport(tmp_path / "absent" / "study.db", SPACE, PROBLEM, warnings.append).update(trials[:1])
    assert len(warnings) == 1 and "could not be written" in warnings[0]


def test_the_study_names_its_objectives_and_times_its_trials(tmp_path: Path, trials: list[Trial]) -> None:
    path, clock = tmp_path / "study.db", iter([datetime(2026, 1, 1, 12, minute) for minute in (0, 7, 9)])
    export = OptunaExport(path, SPACE, PROBLEM, pytest.fail, lambda: next(clock))
    export.update(trials[:2])
    export.update(trials[:3])
    study = stored_study(path)
    assert study.metric_names == [o.metric for o in PROBLEM.objectives]
    times = [(t.datetime_start, t.datetime_complete) for t in study.trials]
    began, middle, ended = (datetime(2026, 1, 1, 12, minute) for minute in (0, 7, 9))
    assert times == [(began, middle), (began, middle), (middle, ended)]
