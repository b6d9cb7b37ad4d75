"""`hwnas profile`, `bench` and `targets check`: what a device costs, without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lut
from hwnas.runs.log import Log
from lut.devices.device import device_context
from lut.devices.needs import check_needs
from lut.devices.reference_networks import reference_onnx
from lut.tables.request import BLOCK_LEVEL
from targets import Target


def profile_space(
    target: Target,
    space_name: str,
    *,
    image_size: int,
    in_channels: int,
    n_classes: int,
    width_mult: float | None,
    minutes: float | None,
    home: Path,
    seed: int,
    log: Log,
    method: str = BLOCK_LEVEL,
    batch: int = 1,
) -> lut.SpaceTable:
    """The latency table of a space on a target: reused where one of this context exists, else measured.

    method: how blocks are priced, see `lut.space_table`. batch: images per inference.
    minutes: None for as many as the space needs.
    """
    from hwnas.pipeline.networks import latency_table
    from hwnas.spaces import load_space

    space = load_space(
        space_name, image_size=image_size, in_channels=in_channels, n_classes=n_classes, width_mult=width_mult
    )
    return latency_table(
        space, target, minutes=minutes, home=home, seed=seed, log=log, batch=batch, method=method
    )


def profile_device(
    target: Target, *, minutes: float, home: Path, seed: int, start_from: Sequence[str], log: Log
) -> lut.LatencyPredictor:
    """The predictor of a target for any network, measured now.

    start_from: names of stored predictors of other devices or contexts; a few networks correct the nearest.
    """
    from lut.tables.bundle import PREDICTOR

    from .stored_tables import find_table

    known = [find_table(home, name, f"/{PREDICTOR}").content for name in start_from]
    return lut.profile_device(
        target,
        minutes=minutes,
        home=home,
        seed=seed,
        log=log,
        progress=log.progress,
        start_from=[one for one in known if isinstance(one, lut.LatencyPredictor)],
    )


def bench(
    target: Target, models: Mapping[str, bytes], *, home: Path, log: Log, alone: Sequence[str] = ()
) -> dict[str, Any]:
    """Measured latency of ONNX files, with the context that a latency means nothing without.

    alone: what else to measure of each, `memory` and `energy`.
    """
    others = lut.measure_resources(target, models, alone, log=log) if alone else {}
    measured = lut.measure(target, models, home=home, log=log)
    context = device_context(target, "")
    return {
        "target": target.described,
        "context": context.to_json(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {name: {**asdict(row), **others.get(name, {})} for name, row in measured.items()},
    }


def check_target(target: Target, *, home: Path, log: Log) -> dict[str, Any]:
    """What the target has of what measuring needs; `bench` of the reference network where all is there."""
    needs = check_needs(target)
    usable = all(need.state != "missing" for need in needs)
    return {
        "target": target.to_json(),
        "usable": usable,
        "needs": [asdict(need) for need in needs],
        "measured": bench(target, {"reference": reference_onnx()}, home=home, log=log) if usable else None,
    }
