"""What a search will take, from a few steps that were measured, and the counts that fit into a time.

A unit of training is an image that goes forwards and backwards once through a network of middle size, of
which proposed networks need a share (`speed`). All else (exports, measurements, baselines on pixels) is a
constant of an idle core times how much slower this one is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwnas.core.words import counted
from hwnas.runs.config import SearchConfig
from hwnas.training.recipe import Recipe

from .counts import Counts, evaluator_of, with_options
from .speed import Speed, measure_speed

if TYPE_CHECKING:
    from hwnas.core.network_space import NetworkSpace

_PRODUCTS_PER_S = 8e9
"""Multiply-adds in double precision of an idle core, as the linear model on pixels needs them."""

UNCERTAINTY = 0.5
"""Of a forecast made before anything was trained, to both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is trained, and how fast.

    n_train, n_val: images. batch_size: images per step.
    n_pixels: numbers per image, as models of pixels see it.
    """

    n_train: int
    n_val: int
    batch_size: int
    speed: Speed
    n_pixels: int = 0

    @property
    def pixel_models_s(self) -> float:
        """The models of pixels on an idle core: an SVC of 5,000 images, products of a linear one."""
        linear = self.n_train * self.n_pixels * min(self.n_train, self.n_pixels)
        return min(self.n_train, 5_000) / 500 + linear / _PRODUCTS_PER_S

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of the training images."""
        return max(1, self.n_train // self.batch_size)

    def epochs_of(self, steps: int) -> int:
        """The fewest epochs that make at least so many steps."""
        return max(1, math.ceil(steps / self.steps_per_epoch))

    def training_s(self, epochs: int) -> float:
        """One training, with the validation at its end."""
        images = epochs * self.steps_per_epoch * self.batch_size + self.n_val / 3
        return images * self.speed.image_s * self.speed.proposed


def makespan_s(durations_s: Sequence[float], n_parallel: int) -> float:
    """When the last of `durations_s` ends where each free process takes the longest that is left."""
    ends = [0.0] * n_parallel
    for duration_s in sorted(durations_s, reverse=True):
        ends[ends.index(min(ends))] += duration_s
    return max(ends)


def forecast_s(counts: Counts, work: Work) -> dict[str, float]:
    """Seconds by the clock of every stage after the table."""
    speed = work.speed
    slow, start_s = speed.slowness, 4.0 * speed.slowness
    short_s, final_s = work.training_s(counts.eval_epochs), work.training_s(counts.train_epochs)
    step_s = 64 * speed.image_s
    n_batches = math.ceil(counts.evaluations / counts.batch)
    if counts.eval_epochs:
        per_batch_s = makespan_s([short_s] * min(counts.batch, counts.evaluations), speed.n_parallel)
        front_s = start_s + n_batches * (per_batch_s * 1.1 + 0.5 * slow)
        baselines = [short_s] * (2 * counts.random_baselines)
    else:
        front_s, baselines = counts.evaluations * (step_s / 3 * 16 + 0.02), []
    finals = [final_s] * counts.n_finalists
    repeats = [short_s * bool(counts.eval_epochs) + final_s] * counts.repeats
    n_parallel = speed.n_parallel
    return {
        "supernet": counts.supernet_steps * step_s,
        "gradient": counts.search_steps * 2.5 * step_s,
        "front": front_s,
        "candidates": slow * (3 + 0.5 * counts.n_candidates),
        "baselines": slow * 13 if counts.random_baselines else 0.0,
        "training": start_s + makespan_s(baselines, n_parallel) + makespan_s(finals, n_parallel),
        "evaluation": slow * (5 + 1.5 * counts.n_finalists + work.pixel_models_s),
        "repeats": (start_s if repeats else 0.0) + makespan_s(repeats, n_parallel),
        "report": slow * 1,
        "export": slow * 6,
    }


@dataclass(frozen=True, slots=True)
class PlanLevel:
    """How well a search is done: counts, and the fewest evaluations with which it is worth them.

    repeats: at most, where a search repeats.
    """

    picks: int
    random_baselines: int
    short_steps: int
    final_steps: int
    evaluations: int
    repeats: int


LEVELS = (
    PlanLevel(7, 2, 300, 300, 14, 100),
    PlanLevel(5, 1, 200, 200, 12, 5),
    PlanLevel(4, 1, 120, 200, 12, 5),
    PlanLevel(3, 1, 80, 150, 10, 3),
    PlanLevel(3, 0, 60, 120, 8, 3),
    PlanLevel(2, 0, 50, 100, 6, 0),
    PlanLevel(1, 0, 40, 60, 4, 0),
)
"""From good to the least with which networks get above chance: few that are trained properly come before many
that are not."""

ENOUGH = 24
"""Evaluations above which time goes to the final trainings as well."""
MOST_EVALUATIONS = 150


@dataclass(frozen=True, slots=True)
class Fit:
    """counts: what fits. needed_s: for the lowest level, where that does not; None where one does."""

    counts: Counts
    needed_s: float | None = None


def fit(config: SearchConfig, defaults: Counts, work: Work, left_s: float) -> Fit:
    """The counts of the best level that fits into `left_s`; what the user gave is kept."""
    for level in LEVELS:
        counts = at_level(level, config, defaults, work)
        spare_s = left_s - sum(forecast_s(counts, work).values())
        if spare_s >= 0:
            return Fit(_spend(counts, config, work, spare_s))
    lowest = at_level(LEVELS[-1], config, defaults, work)
    needed_s = sum(forecast_s(lowest, work).values())
    return Fit(_squeeze(lowest, config, work, left_s), needed_s)


def at_level(level: PlanLevel, config: SearchConfig, defaults: Counts, work: Work) -> Counts:
    """The counts of a level with its fewest evaluations."""
    counts = replace(
        defaults,
        picks=level.picks,
        random_baselines=level.random_baselines,
        evaluations=level.evaluations,
        train_epochs=work.epochs_of(level.final_steps),
        repeats=min(level.repeats, defaults.repeats),
    )
    if evaluator_of(config).trains:
        counts = replace(counts, eval_epochs=work.epochs_of(level.short_steps))
    return with_options(counts, config)


def _spend(counts: Counts, config: SearchConfig, work: Work, spare_s: float) -> Counts:
    """More evaluations up to `ENOUGH`; beyond, a third of the time for them, the rest for final epochs."""
    if config.evaluations is None and config.generations is None:
        one = replace(counts, evaluations=counts.evaluations + counts.batch)
        more_s = forecast_s(one, work)["front"] - forecast_s(counts, work)["front"]
        batches = int(spare_s / more_s)
        to_enough = max(0, math.ceil((ENOUGH - counts.evaluations) / counts.batch))
        beyond = max(0, batches - to_enough)
        own = beyond if config.train_epochs is not None else beyond // 3
        n = min(counts.evaluations + (min(batches, to_enough) + own) * counts.batch, MOST_EVALUATIONS)
        spare_s -= (n - counts.evaluations) / counts.batch * more_s
        counts = replace(counts, evaluations=n)
    if config.train_epochs is None:
        counts = replace(counts, train_epochs=counts.train_epochs + _more_epochs(counts, work, spare_s))
    return counts


def _more_epochs(counts: Counts, work: Work, spare_s: float) -> int:
    one = replace(counts, train_epochs=counts.train_epochs + 1)
    epoch_s = total_s(forecast_s(one, work)) - total_s(forecast_s(counts, work))
    return max(0, int(spare_s / epoch_s))


def _squeeze(counts: Counts, config: SearchConfig, work: Work, left_s: float) -> Counts:
    """Less than the lowest level, at least three evaluations and one epoch each."""
    forecast = forecast_s(counts, work)
    share = max(0.0, left_s) / sum(forecast.values())
    squeezed = replace(
        counts,
        evaluations=max(3, int(counts.evaluations * share)),
        eval_epochs=max(1, int(counts.eval_epochs * share)) if counts.eval_epochs else 0,
        train_epochs=max(1, int(counts.train_epochs * share)),
    )
    return with_options(squeezed, config)


def total_s(forecast: Mapping[str, float]) -> float:
    """Of all stages."""
    return sum(forecast.values())


def after_s(forecast: Mapping[str, float], stage: str) -> float:
    """Of the stages after this one."""
    names = list(forecast)
    return sum(forecast[name] for name in names[names.index(stage) + 1 :])


def about(seconds: float) -> str:
    """A forecast in words, with its uncertainty."""
    low, high = ((1 - UNCERTAINTY) * seconds / 60, (1 + UNCERTAINTY) * seconds / 60)
    return f"about {seconds / 60:.2g} minutes ({low:.2g} to {high:.2g})"


def work_of(config: SearchConfig, space: NetworkSpace, n_train: int, n_val: int, n_workers: int) -> Work:
    """What is trained for a search, and how fast this machine does; a worker of a cluster counts as fast."""
    from hwnas.training.pixel_models import MAX_SIDE_PX

    batch_size = min(config.batch_size or Recipe.for_data(n_train).batch_size, n_train)
    n_parallel = n_workers if config.cluster else min(n_workers, os.cpu_count() or 1)
    speed = measure_speed(space, n_parallel, batch_size=batch_size, seed=config.seed)
    plane = min(space.scale.area, MAX_SIDE_PX**2)
    return Work(
        n_train=n_train,
        n_val=n_val,
        batch_size=batch_size,
        speed=speed,
        n_pixels=space.scale.in_channels * plane,
    )


def in_words(counts: Counts, work: Work) -> str:
    """What will be trained how often."""
    others = 2 * counts.random_baselines
    finals = f"{counts.picks} of them" + (f" and up to {others} baselines" if others else "")
    long_steps = counts.train_epochs * work.steps_per_epoch
    parts = []
    if counts.supernet_steps:
        parts.append(f"shared weights for {counts.supernet_steps:,} steps")
    if counts.search_steps:
        parts.append(f"a gradient search of {counts.search_steps:,} steps")
    if counts.eval_epochs:
        steps = counts.eval_epochs * work.steps_per_epoch
        parts.append(
            f"{counted(counts.evaluations, 'network')} trained for {counted(steps, 'step')} "
            f"({counted(counts.eval_epochs, 'epoch')})"
        )
        more = "more"
    else:
        parts.append(f"{counted(counts.evaluations, 'network')} scored by the shared weights")
        more = "from scratch"
    epochs = counted(counts.train_epochs, "epoch")
    parts.append(f"{finals} for {counted(long_steps, 'step')} {more} ({epochs})")
    if counts.repeats:
        parts.append(f"the chosen one again on {counts.repeats} splits drawn anew")
    return ", ".join(parts)
