"""Time that is left after the final trainings: how much longer networks train, decided once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.pipeline.counts import default_counts
from hwnas.pipeline.forecast import Work, after_s, forecast_s
from hwnas.pipeline.main_job import DECIDED, STAGES
from hwnas.pipeline.main_job.clock import Decisions
from hwnas.pipeline.main_job.replan import most_epochs, plan_longer, require_in_time, rest_s
from hwnas.pipeline.main_job.run_context import RunContext
from hwnas.pipeline.speed import Speed
from hwnas.runs.config import SearchConfig
from hwnas.runs.search_run import create_search, open_search
from targets.errors import UsageError

WORK = Work(n_train=360, n_val=120, batch_size=32, speed=Speed(image_s=0.004, n_parallel=2, slowness=1.0))
TOOK_S = 400.0
"""What nine final trainings took."""


def context_of(folder: Path, spent_s: float, **options: Any) -> Any:
    """After the final trainings of a search, `spent_s` seconds of work since its start."""
    config = SearchConfig.from_json(options, "test")
    counts = default_counts(config, WORK.n_train, 2)
    results = {"plan": {"counts": counts.to_json()}, "front": {"slowdown": 1.0}}
    return SimpleNamespace(
        config=config,
        counts=counts,
        work=WORK,
        result=results.__getitem__,
        run=SimpleNamespace(stage_done=results.get, log=lambda text: None),
        clock=SimpleNamespace(spent_s=spent_s),
        decisions=Decisions(folder / "decisions.json"),
    )


@pytest.mark.parametrize("spent_s", [500.0, 600.0, 700.0])
def test_time_that_is_left_is_used_and_not_exceeded(tmp_path: Path, spent_s: float) -> None:
    context = context_of(tmp_path, spent_s, minutes=20)
    epochs = plan_longer(context, 9, TOOK_S)
    assert 0 < epochs < most_epochs(context) - context.counts.train_epochs
    end_s = spent_s + epochs * TOOK_S / context.counts.train_epochs + rest_s(context, "training")
    assert 0.9 * 1200 < end_s < 1200


def test_a_decision_stays_whatever_a_resumed_run_would_decide(tmp_path: Path) -> None:
    decided = plan_longer(context_of(tmp_path, 600.0, minutes=20), 9, TOOK_S)
    assert plan_longer(context_of(tmp_path, 1100.0, minutes=20), 9, None) == decided > 0


def test_little_time_and_lengths_that_were_given_make_no_training_longer(tmp_path: Path) -> None:
    assert plan_longer(context_of(tmp_path, 1150.0, minutes=20), 9, TOOK_S) == 0
    assert plan_longer(context_of(tmp_path / "a", 600.0), 9, TOOK_S) == 0
    assert plan_longer(context_of(tmp_path / "b", 600.0, minutes=20, train_epochs=5), 9, TOOK_S) == 0
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_no_training_is_longer_than_twice_the_most_that_is_planned(tmp_path: Path) -> None:
    context = context_of(tmp_path, 600.0, minutes=600)
    assert plan_longer(context, 9, TOOK_S) == 2 * most_epochs(context) - context.counts.train_epochs


def resumed_minutes(path: Path, **given: float) -> float | None:
    """Of the run at `path`, resumed with the options `given` and left again."""
    with open_search(path, given=given) as run:
        context = RunContext(run)
        require_in_time(context)
        return context.config.minutes


def test_minutes_of_a_resume_are_kept_by_those_after_it(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with create_search(path, SearchConfig(minutes=10)):
        pass
    assert resumed_minutes(path, minutes=20) == 20
    with open_search(path) as run:
        run.finish_stage("plan", {"minutes": 20})
    assert resumed_minutes(path) == 20
    assert resumed_minutes(path, minutes=40) == 40
    assert resumed_minutes(path) == 40
    assert resumed_minutes(path, minutes=20) == 20 == resumed_minutes(path)
    Decisions(path / "decisions.json").fix(train_epochs=9)
    with pytest.raises(UsageError, match="--minutes 40 comes too late: the run was planned for --minutes 20"):
        resumed_minutes(path, minutes=40)
    assert resumed_minutes(path) == 20


def test_forecasts_and_continued_searches_know_the_stages_of_a_search() -> None:
    names = [stage.name for stage in STAGES]
    forecast = forecast_s(default_counts(SearchConfig(), 360, 2), WORK)
    assert list(forecast) == names[names.index("plan") + 1 :]
    assert after_s(forecast, "front") == sum(list(forecast.values())[list(forecast).index("front") + 1 :])
    assert names == [*DECIDED, "training", "evaluation", "repeats", "report", "export"]
