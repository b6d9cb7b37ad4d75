"""What a search would do, said before it does anything: images, counts, time and memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from hwnas.core.network_space import NetworkSpace
from hwnas.core.samples import kind_named
from hwnas.runs.config import SearchConfig
from hwnas.training.recipe import Recipe
from lut.home import data_home

from .continued_work import continued_work
from .counts import default_counts, needs_latency, objectives_of, strategy_of
from .forecast import UNCERTAINTY, Fit, Work, fit, forecast_s, in_words, total_s, work_of
from .image_sizes import affordable_size
from .latency_tables import find_devices
from .networks import default_minutes
from .scores import task_of
from .teachers import KnownSamples, require_teacher

_STARTS_S = 5.0
"""Seconds of an idle core until the images are read."""


def planned_work(config: SearchConfig, log: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Look at the images, time some steps here, and say what follows, as JSON.

    UsageError or DamagedFileError for images and for a teacher that a search would refuse.
    """
    if config.continue_from is not None:
        return continued_work(config)
    from hwnas.data import inspect_data
    from hwnas.spaces import load_space
    from hwnas.tasks import outward, task_named
    from hwnas.training.train import require_changes

    from .main_job.trainings import as_asked

    home, n_workers = data_home(config.home), config.workers or os.cpu_count() or 1
    size = config.image_size or affordable_size(config, home, n_workers, log)
    facts = inspect_data(
        config.data,
        size,
        config.seed,
        root=home,
        **config.label_options,
        download=config.download,
        skip_broken=config.skip_broken,
        log=log,
    )
    facts.require_sound()
    kind = kind_named(facts.kind)
    require_changes(as_asked(Recipe.for_data(1), config, kind), facts.name, kind)
    shape: dict[str, Any] = {
        "image_size": facts.image_size,
        "in_channels": facts.in_channels,
        "n_classes": facts.n_outputs,
    }
    require_teacher(config, KnownSamples(facts.name, kind, shape))
    space = load_space(
        config.space,
        **shape,
        width_mult=config.width_mult,
        dims=kind.dims,
        head=task_named(config.task).head,
    )
    devices = [device.name for device in find_devices(config.targets, home)]
    work = work_of(config, space, facts.splits["train"], facts.splits["val"], n_workers)
    profile_s = 60 * (config.profile_minutes or default_minutes(space)) if needs_latency(config) else 0.0
    fitted = _fit(config, work, n_workers, profile_s, facts.images_per_class)
    forecast = {"splits": _STARTS_S * work.speed.slowness, "table": profile_s}
    forecast |= forecast_s(fitted.counts, work)
    seconds = total_s(forecast)
    return {
        "data": facts.to_json(),
        "evaluator": config.evaluator,
        "strategy": strategy_of(config),
        "objectives": outward(list(objectives_of(config, devices)), task_of(config)),
        **fitted.counts.to_json(),
        "minutes": config.minutes,
        "in_words": in_words(fitted.counts, work),
        "forecast_minutes": seconds / 60,
        "forecast_low_minutes": (1 - UNCERTAINTY) * seconds / 60,
        "forecast_high_minutes": (1 + UNCERTAINTY) * seconds / 60,
        "forecast_s": forecast,
        "too_little_time": fitted.needed_s is not None,
        "memory_gb": _memory_bytes(space, work, n_workers) / 1e9,
        "speed": asdict(work.speed),
    }


def _fit(config: SearchConfig, work: Work, n_workers: int, profile_s: float, images_per_class: float) -> Fit:
    defaults = default_counts(config, work.n_train, n_workers, images_per_class)
    if config.minutes is None:
        return Fit(defaults)
    return fit(config, defaults, work, 60 * config.minutes - profile_s - _STARTS_S * work.speed.slowness)


def _memory_bytes(space: NetworkSpace, work: Work, n_workers: int) -> int:
    """At most, while the training processes and the one that started them are at work."""
    import numpy as np

    from hwnas.executors.memory import PROCESS_BYTES
    from hwnas.training.memory import training_bytes
    from hwnas.training.training_job import TrainingJob

    rng = np.random.default_rng(0)
    recipe = replace(Recipe.for_data(work.n_train), batch_size=work.batch_size).to_json()
    archs = [space.sample(rng) for _ in range(3)]
    jobs = [
        TrainingJob(
            job_id="memory",
            network={"space": space.spec(), "arch": space.to_string(arch)},
            data={},
            recipe=recipe,
            seed=0,
        )
        for arch in archs
    ]
    return PROCESS_BYTES + n_workers * max(training_bytes(job) for job in jobs)
