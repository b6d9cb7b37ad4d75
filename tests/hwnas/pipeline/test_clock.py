"""The clock of a run and its decisions: pauses left out, decisions taken once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.pipeline.main_job.clock import SAVE_EVERY_S, Decisions, WorkClock


class Now:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_work_counts_and_pauses_do_not(tmp_path: Path) -> None:
    now = Now()
    clock = WorkClock(tmp_path / "clock.json", now)
    with clock.stage("front"):
        now.s += 30
    now.s += 5
    assert clock.spent_s == 35
    now.s += 10_000  # killed here: what was not saved is lost, and the night does not count
    again = WorkClock(tmp_path / "clock.json", now)
    assert again.spent_s == 30 and again.stages == {"front": 30}
    with again.stage("front"):
        now.s += 7
    assert again.stages == {"front": 37} and again.spent_s == 37


def test_a_stage_that_fails_took_its_time_too(tmp_path: Path) -> None:
    now = Now()
    clock = WorkClock(tmp_path / "clock.json", now)
    with pytest.raises(KeyboardInterrupt), clock.stage("table"):
        now.s += 3
        raise KeyboardInterrupt
    assert WorkClock(tmp_path / "clock.json", now).spent_s == 3


def test_a_tick_saves_now_and_then(tmp_path: Path) -> None:
    now, path = Now(), tmp_path / "clock.json"
    clock = WorkClock(path, now)
    clock.tick()
    assert not path.exists()
    now.s += SAVE_EVERY_S
    clock.tick()
    assert json.loads(path.read_text())["spent_s"] == SAVE_EVERY_S


def test_a_damaged_clock_costs_its_time_only(tmp_path: Path) -> None:
    for text in ("", "[]", '{"spent_s": "x", "stages": {}}', '{"stages": 1, "spent_s": 2}'):
        (tmp_path / "clock.json").write_text(text)
        assert WorkClock(tmp_path / "clock.json", Now()).spent_s == 0


def test_a_decision_is_taken_once(tmp_path: Path) -> None:
    first = Decisions(tmp_path / "decisions.json")
    assert first.batch("0", lambda: 4) == 4
    first.fix(picks=3)
    first.fix(picks=5, train_epochs=7)
    again = Decisions(tmp_path / "decisions.json")
    assert again.batch("0", lambda: 9) == 4 and again.batch("1", lambda: 2) == 2
    assert again.counts == {"picks": 3, "train_epochs": 7}


def test_a_limit_that_was_set_again_stays(tmp_path: Path) -> None:
    first = Decisions(tmp_path / "decisions.json")
    assert first.minutes(20.0) == 20.0
    first.limit(40.0)
    first.fix(picks=3)
    again = Decisions(tmp_path / "decisions.json")
    assert again.minutes(20.0) == 40.0 and again.counts == {"picks": 3}
    again.limit(None)
    assert Decisions(tmp_path / "decisions.json").minutes(20.0) is None
