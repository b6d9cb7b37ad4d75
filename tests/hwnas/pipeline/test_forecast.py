"""What fits into a time: levels in their order, options kept, the time used and not exceeded."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hwnas.pipeline.counts import Counts, default_counts, objectives_of, strategy_of
from hwnas.pipeline.forecast import LEVELS, Work, fit, forecast_s, makespan_s, total_s
from hwnas.pipeline.image_sizes import largest_px
from hwnas.pipeline.speed import Speed
from hwnas.runs.config import SearchConfig
from targets.errors import UsageError

SPEED = Speed(image_s=0.01, n_parallel=2, slowness=1.5)
PHOTOS = Work(n_train=360, n_val=120, batch_size=32, speed=SPEED)


def counts(**options: object) -> Counts:
    return default_counts(SearchConfig.from_json(options, "test"), 360, 2)


def best_makespan_s(durations: list[float], n: int) -> float:
    """By trying every assignment."""
    ends = []
    for places in itertools.product(range(n), repeat=len(durations)):
        ends.append(max(sum(d for d, p in zip(durations, places, strict=True) if p == i) for i in range(n)))
    return min(ends)


def test_makespan_is_near_the_best_and_exact_for_one_process() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        durations = rng.uniform(1, 10, 6).tolist()
        best = best_makespan_s(durations, 2)
        # Graham 1969: the longest first is at most 4/3 - 1/(3 n) of the best.
        assert best - 1e-9 <= makespan_s(durations, 2) <= best * (4 / 3 - 1 / 6) + 1e-9
        assert makespan_s(durations, 1) == pytest.approx(sum(durations))
    assert makespan_s([], 2) == 0


@pytest.mark.parametrize("minutes", [4, 10, 20, 40, 120])
def test_the_time_is_used_and_not_exceeded(minutes: float) -> None:
    config = SearchConfig(minutes=minutes)
    fitted = fit(config, default_counts(config, 360, 2), PHOTOS, 60 * minutes)
    assert fitted.needed_s is None
    assert 0.85 * 60 * minutes <= total_s(forecast_s(fitted.counts, PHOTOS)) <= 60 * minutes


def test_more_time_never_makes_a_worse_search() -> None:
    before: Counts | None = None
    for minutes in (3, 5, 10, 20, 40):
        config = SearchConfig(minutes=minutes)
        now = fit(config, default_counts(config, 360, 2), PHOTOS, 60 * minutes).counts
        if before is not None:
            assert now.picks >= before.picks and now.random_baselines >= before.random_baselines
            assert now.eval_epochs >= before.eval_epochs
        before = now


def test_every_level_has_its_least_steps() -> None:
    for minutes in np.geomspace(2, 100, 25):
        config = SearchConfig(minutes=float(minutes))
        fitted = fit(config, default_counts(config, 360, 2), PHOTOS, 60 * minutes)
        if fitted.needed_s is None:
            steps = PHOTOS.steps_per_epoch
            assert fitted.counts.eval_epochs * steps >= LEVELS[-1].short_steps
            assert fitted.counts.train_epochs * steps >= LEVELS[-1].final_steps
            assert fitted.counts.evaluations >= LEVELS[-1].evaluations


def test_too_little_time_says_how_much_would_do() -> None:
    config = SearchConfig(minutes=0.5)
    fitted = fit(config, default_counts(config, 360, 2), PHOTOS, 30)
    assert fitted.needed_s is not None and fitted.needed_s > 30
    enough = fit(config, default_counts(config, 360, 2), PHOTOS, fitted.needed_s + 1)
    assert enough.needed_s is None
    assert fitted.counts.evaluations >= 3 and fitted.counts.eval_epochs >= 1 and fitted.counts.picks == 1


def test_what_the_user_gave_is_kept_whatever_the_time() -> None:
    given = {"evaluations": 7, "eval_epochs": 3, "picks": 2, "random_baselines": 1, "train_epochs": 5}
    for minutes in (0.5, 10, 100):
        config = SearchConfig.from_json({**given, "minutes": minutes}, "test")
        fitted = fit(config, default_counts(config, 360, 2), PHOTOS, 60 * minutes).counts.to_json()
        assert {name: fitted[name] for name in given} == given


def test_counts_follow_from_images_and_options() -> None:
    few, many = default_counts(SearchConfig(), 360, 2), default_counts(SearchConfig(), 50_000, 2)
    assert few.eval_epochs > many.eval_epochs == 1  # steps count, not epochs alone
    assert few.eval_epochs * (360 // 32) >= 100
    assert counts(generations=3, population=5).evaluations == 15
    assert counts(evaluator="shared-weights").eval_epochs == 0
    assert counts(evaluator="shared-weights").supernet_steps == 500 and few.supernet_steps == 0
    assert strategy_of(SearchConfig()) == "bo"
    assert strategy_of(SearchConfig(evaluator="shared-weights")) == "nsga2"
    assert objectives_of(SearchConfig(objectives=("val_accuracy", "macs")), ["pi"])[1] == "macs"
    ratio = ("val_accuracy", "latency_ratio")
    assert objectives_of(SearchConfig(objectives=ratio), ["pi"]) == ratio  # budgets by default
    with pytest.raises(UsageError, match="latency_ratio is a share of budgets on latencies"):
        objectives_of(SearchConfig(objectives=ratio, budgets=("macs<=1e6",)), ["pi"])
    assert Counts.from_json(few.to_json()) == few


def test_few_images_are_repeated_as_far_as_the_time_allows() -> None:
    config = SearchConfig()
    assert default_counts(config, 60, 2, 40.0).repeats == 5 and default_counts(config, 60, 2).repeats == 0
    assert default_counts(SearchConfig(repeats=3), 9000, 2).repeats == 3
    assert default_counts(SearchConfig(repeats=0), 60, 2, 40.0).repeats == 0
    with_them, without = (
        forecast_s(replace(default_counts(config, 360, 2), repeats=n), PHOTOS) for n in (4, 0)
    )
    one_s = PHOTOS.training_s(counts().eval_epochs) + PHOTOS.training_s(counts().train_epochs)
    assert with_them["repeats"] - without["repeats"] == pytest.approx(
        2 * one_s + 4 * 1.5
    )  # four, two at a time
    for minutes, least in ((2.5, 0), (40, 5)):
        timed = SearchConfig(minutes=minutes)
        fitted = fit(timed, default_counts(timed, 360, 2, 40.0), PHOTOS, 60 * minutes)
        assert fitted.needed_s is None and fitted.counts.repeats == least
        assert total_s(forecast_s(fitted.counts, PHOTOS)) <= 60 * minutes


def test_a_slower_machine_gets_a_smaller_search() -> None:
    config = SearchConfig(minutes=10.0)
    slow = replace(PHOTOS, speed=replace(SPEED, image_s=0.05, slowness=4.0))
    fast, less = (fit(config, default_counts(config, 360, 2), w, 600).counts for w in (PHOTOS, slow))
    assert less.picks < fast.picks or less.evaluations < fast.evaluations


def test_images_are_as_large_as_the_time_allows() -> None:
    assert largest_px(32, 0.0008, 2, 10) == 32
    sizes = [largest_px(224, 0.028, 2, minutes) for minutes in (1, 10, 60, 600, 10_000)]
    assert sizes == sorted(sizes) and sizes[0] == 48 and sizes[-1] == 224
    assert largest_px(224, 0.008, 2, None) < largest_px(224, 0.008, 2, 15)  # all of the plan fits, not a part
    assert largest_px(224, 0.028, 8, 60) >= largest_px(224, 0.028, 1, 60)


def test_a_linear_model_of_many_pixels_takes_its_time() -> None:
    """40,000 images of 3,072 numbers: 3.8e11 multiply-adds of a product of matrices, and an SVC of 5,000."""
    work = replace(PHOTOS, n_train=40_000, n_pixels=3072)
    assert work.pixel_models_s == pytest.approx(10 + 40_000 * 3072**2 / 8e9)
    assert replace(work, n_train=300).pixel_models_s == pytest.approx(0.6 + 300**2 * 3072 / 8e9)
    less = forecast_s(counts(), replace(work, n_pixels=0))["evaluation"]
    assert forecast_s(counts(), work)["evaluation"] - less == pytest.approx(
        work.speed.slowness * 47.2, abs=0.1
    )
