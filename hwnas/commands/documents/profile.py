"""`hwnas profile`: the predictor of a device, or the latency table of a search space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lut
from hwnas.runs.log import Log
from lut.tables.bundle import PREDICTOR
from lut.tables.request import BLOCK_LEVEL
from targets import Target

from .tables import find_table


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
    accept_noise: bool = False,
) -> lut.SpaceTable:
    """The latency table of a space on a target: reused where one of this context exists, else measured.

    target: the device.
    space_name: a name or a TOML file.
    image_size, in_channels, n_classes, width_mult: of the networks of the space.
    minutes: limit on the measurement; None for as many as the space needs.
    home: the data home.
    seed: of the networks drawn to measure.
    log: told what is measured.
    method: how blocks are measured, see `lut.space_table`.
    batch: images per inference.
    accept_noise: make it on a disturbed machine too.
    """
    from hwnas.pipeline.networks import latency_table
    from hwnas.spaces import load_space

    space = load_space(
        space_name, image_size=image_size, in_channels=in_channels, n_classes=n_classes, width_mult=width_mult
    )
    return latency_table(
        space,
        target,
        minutes=minutes,
        home=home,
        seed=seed,
        log=log,
        batch=batch,
        method=method,
        accept_noise=accept_noise,
    )


def profile_device(
    target: Target,
    *,
    minutes: float,
    home: Path,
    seed: int,
    start_from: Sequence[str],
    log: Log,
    accept_noise: bool = False,
) -> lut.LatencyPredictor:
    """Measure the predictor of a target for any network.

    start_from: names of stored predictors of other devices or contexts. The nearest of them is corrected by a
        few measured networks.
    accept_noise: make it on a disturbed machine too.
    """
    known = [find_table(home, name, f"/{PREDICTOR}").content for name in start_from]
    return lut.profile_device(
        target,
        minutes=minutes,
        home=home,
        seed=seed,
        log=log,
        progress=log.progress,
        accept_noise=accept_noise,
        start_from=[content for content in known if isinstance(content, lut.LatencyPredictor)],
    )
