"""The moments of the series of interrupted searches: how often each way of interrupting comes, and where."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.faults.compare import differences, values
from benchmarks.faults.moments import KILL, TRAINING, WORKER, WRITES, series
from benchmarks.faults.search_process import Search
from hwnas.pipeline.main_job import STAGES

PLACES = ["starting", *(stage.name for stage in STAGES)]


def test_the_series_is_the_one_that_is_documented() -> None:
    moments = [moment for run in series(PLACES, 0) for moment in run]
    assert Counter(m.how for m in moments) == {KILL: 40, "INT": 10, "TERM": 10, "HUP": 10, WORKER: 6}


def test_signals_and_kills_meet_every_stage() -> None:
    moments = [moment for run in series(PLACES, 1) for moment in run]
    met = Counter(m.stage for m in moments if m.how != WORKER)
    assert met.keys() == set(PLACES)
    assert max(met.values()) - min(met.values()) <= 1
    assert {m.stage for m in moments if m.how == WORKER} <= set(TRAINING)


def test_a_file_is_one_that_the_stage_writes() -> None:
    assert set(WRITES) <= set(PLACES)
    assert all(m.file in ("", "stages/", *WRITES.get(m.stage, ())) for run in series(PLACES, 2) for m in run)


def test_the_moments_of_a_run_are_in_the_order_of_its_stages() -> None:
    for run in series(PLACES, 3):
        keys = [(PLACES.index(m.stage), m.share) for m in run]
        assert keys == sorted(keys)


TRAINS = "import time; time.sleep(60)  # hwnas.executors.child_process"


class Orphaning(Search):
    """Ends at once, and leaves a child in a session of its own, as a training process has."""

    def command(self) -> list[str]:
        started = f"subprocess.Popen([sys.executable, '-c', {TRAINS!r}], start_new_session=True)"
        return [sys.executable, "-c", f"import subprocess, sys; {started}"]


def test_processes_of_a_run_are_found_whatever_session_and_parent_they_have(tmp_path: Path) -> None:
    search = Orphaning(tmp_path, tmp_path, tmp_path / "run")
    assert search.start().wait(60) == 0
    assert len(search.members()) == len(search.trainers()) == 1
    assert Search(tmp_path / "another", tmp_path, tmp_path).members() == []
    search.close()
    until = time.monotonic() + 60
    while search.members() and time.monotonic() < until:
        time.sleep(0.01)
    assert search.members() == []


def test_a_finding_that_the_clock_decides_moves_no_other(tmp_path: Path) -> None:
    ties, unstable = ({"code": code, "level": "warn"} for code in ("random_ties", "measurements_unstable"))
    found = []
    for name, verdict in (("a", [unstable, ties]), ("b", [ties])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "front.json").write_text(json.dumps({"verdict": verdict, "points": [1, 2]}))
        found.append(values(tmp_path / name))
    assert found[0] == found[1] and found[0]["front.json.verdict.random_ties.level"] == '"warn"'
    assert differences(found[0], found[1] | {"front.json.points.1": "3"}) == [
        "front.json.points.1: 2 became 3"
    ]
