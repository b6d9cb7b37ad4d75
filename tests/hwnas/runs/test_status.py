"""`hwnas status`: what a run does, read from its files while it runs and after it was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cli
from hwnas.pipeline.stages import Outcome, RunStage, run_stages
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.search_run import create_search, open_search
from hwnas.runs.status import run_status
from hwnas.runs.under_way import StageName, UnderWayFile, read_under_way


class _Context:
    def __init__(self, run: RunDir) -> None:
        self.run = run


class _StopError(Exception):
    pass


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    with create_search(tmp_path / "run", SearchConfig(), log=Log(quiet=True)) as made:
        yield made


def work(context: _Context) -> Outcome:
    return Outcome({})


def half(context: _Context) -> Outcome:
    with context.run.progress("training", 8) as bar:
        bar.advance(2)
        raise _StopError


STAGES = (
    RunStage(name="splits", does="read the data", work=work),
    RunStage(name="training", does="train the picks", work=half),
    RunStage(name="report", does="write the report", work=work),
)


def test_the_stage_under_way_its_share_and_what_next(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(_StopError):
        run_stages(STAGES, _Context(run))
    found = run_status(run.path)
    assert [(s["name"], s["state"]) for s in found["stages"]] == [
        ("splits", "done"),
        ("training", "under way"),
        ("report", "to do"),
    ]
    now = found["under_way"]
    assert (now["number"], now["of"], now["done"], now["total"], now["share"]) == (2, 3, 2, 8, 0.25)
    assert found["state"] == "running"
    run.close()
    found = run_status(run.path)
    assert found["state"] == "stopped"
    assert found["next"] == f"go on with: hwnas search --resume {run.path}"
    assert cli.run(["status", str(run.path)]) == 0
    out = capsys.readouterr().out
    assert "stage 2 of 3, train the picks: training 25 % (2 of 8)" in out
    assert "stopped there" in out


def test_a_run_that_is_done_says_so(run: RunDir) -> None:
    run_stages([RunStage(name="splits", does="read the data", work=work)], _Context(run))
    (run.path / "report.html").write_text("x")
    run.close()
    found = run_status(run.path)
    assert (found["state"], found["under_way"]) == ("done", None)
    assert found["next"] == f"open {run.path / 'report.html'}"


def test_the_time_left_follows_from_the_speed(tmp_path: Path) -> None:
    """3 of 12 in 30 s after a resume at 2: 10 s each, so 70 s for the 7 that are left; 5 s later 65 s."""
    times = {"clock": 0.0, "now": 1000.0}
    file = UnderWayFile(tmp_path, clock=lambda: times["clock"], now=lambda: times["now"])
    file.begin([StageName(name="front", does="search the front")], "front")

    class Bar:
        def advance(self, n: int = 1, note: str = "") -> None:
            pass

        def expect(self, total: int, rest_s: float) -> None:
            pass

    with file.watched(Bar(), "front", 10) as bar:
        bar.advance(2)
        bar.expect(12, 0.0)
        times["clock"] = 30.0
        bar.advance(3)
    known = read_under_way(tmp_path)
    assert known is not None
    assert (known.done, known.total, known.left_s) == (5, 12, 70.0)


def test_a_file_that_cannot_be_read_is_as_none(run: RunDir) -> None:
    for text in ("", "{", "[]", '{"stages": 3}', '{"stages": [], "odd": 1}'):
        (run.path / "progress.json").write_text(text)
        assert run_status(run.path)["under_way"] is None


def test_a_run_goes_on_after_its_progress_was_lost(run: RunDir) -> None:
    run_stages([RunStage(name="splits", does="read the data", work=work)], _Context(run))
    run.close()
    (run.path / "progress.json").unlink()
    with open_search(run.path, log=Log(quiet=True)) as again:
        assert again.stage_done("splits") == {}
