"""What a search that goes on from a finished one would do, said before it does anything."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hwnas.core.samples import KINDS
from hwnas.runs.config import SearchConfig
from hwnas.runs.front_file import front_points, read_front
from hwnas.runs.stages import StageRecords
from targets.errors import UsageError

from .counts import Counts
from .forecast import UNCERTAINTY, Work, forecast_s, total_s
from .grown_data import splits_of
from .speed import Speed
from .teachers import KnownSamples, require_teacher


def continued_work(config: SearchConfig) -> dict[str, Any]:
    """The networks, the length and the time, by the speed that the finished search measured.

    UsageError or DamagedFileError for a teacher that the search would refuse.
    """
    from .main_job import DECIDED

    old = Path(config.continue_from or "")
    plan = StageRecords(old).read("plan")
    if plan is None:
        raise UsageError(f"{old} has no plan; hwnas search --resume {old} goes on with it")
    networks = [point.arch_id for point in front_points(read_front(old)) if point.is_trained]
    require_teacher(config, _samples_of(old))
    work = Work(**{**plan["work"], "speed": Speed(**plan["work"]["speed"])})
    document: dict[str, Any] = {
        "continue_from": config.continue_from,
        "networks": networks,
        "train_epochs": config.train_epochs,
        "minutes": config.minutes,
    }
    if config.grown_data is not None:
        splits, grown = splits_of(config)
        work = replace(work, n_train=len(splits["train"]), n_val=len(splits["val"]))
        document["growth"] = asdict(grown)
    if config.train_epochs is None:
        return document
    counts = Counts.from_json(plan["counts"])
    # None before: nothing is trained twice. As many networks as there are.
    counts = replace(
        counts,
        eval_epochs=0,
        search_steps=0,
        picks=len(networks),
        random_baselines=0,
        train_epochs=config.train_epochs,
        repeats=0,
    )
    forecast = {name: s for name, s in forecast_s(counts, work).items() if name not in DECIDED}
    minutes = total_s(forecast) / 60
    return document | {
        "forecast_minutes": minutes,
        "forecast_low_minutes": (1 - UNCERTAINTY) * minutes,
        "forecast_high_minutes": (1 + UNCERTAINTY) * minutes,
        "forecast_s": forecast,
    }


def _samples_of(old: Path) -> KnownSamples:
    """The samples of a finished search, which those of now have to be like."""
    splits = StageRecords(old).read("splits") or {}
    dims = splits.get("dims", 2)
    kind = next(KINDS[name] for name in KINDS if KINDS[name].dims == dims)
    return KnownSamples(str(splits.get("name", old)), kind, splits)
