"""How large the images of a search may be where the user does not say so: what the time allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hwnas.runs.config import SearchConfig
from hwnas.training.recipe import Recipe

from .forecast import LEVELS
from .speed import measure_speed

SIZES_PX = (224, 192, 160, 128, 96, 64, 48)

DEFAULT_MINUTES = 15.0
"""What the images are made small enough for where no time is given either."""

SHARE = 0.6
"""Of the time that the trainings of the second level may take."""

PROBE_PX = 96
"""Side at which steps are timed."""

LARGE_PX = 48
"""Sides up to this are what they are: there is little to save."""


def affordable_size(
    config: SearchConfig, home: Path, n_workers: int, log: Callable[[str], None]
) -> int | None:
    """The side in pixels, with a line where the images suggest more; None for small ones and signals."""
    from hwnas.data.gather import open_source
    from hwnas.data.source import data_request
    from hwnas.spaces import load_space

    request = data_request(config.data, root=home, download=config.download, **config.label_options)
    source = open_source(request)
    natural_px = source.natural_size()
    if source.listing.kind.dims < 2 or natural_px <= LARGE_PX:
        return None
    probe_px = min(natural_px, PROBE_PX)
    space = load_space(
        config.space,
        image_size=probe_px,
        in_channels=source.listing.in_channels,
        n_classes=len(source.listing.class_names),
        width_mult=config.width_mult,
        head=request.task.head,
    )
    speed = measure_speed(space, n_workers, rounds=2)
    image_s = speed.proposed * speed.image_s * (natural_px / probe_px) ** 2
    px = largest_px(natural_px, image_s, n_workers, config.minutes)
    if px < natural_px:
        limit = f"--minutes {config.minutes:g}" if config.minutes else f"about {DEFAULT_MINUTES:g} minutes"
        log(
            f"images are scaled to {px} px, not {natural_px}, to fit into {limit}; --image-size sets the side"
        )
    return px


def largest_px(natural_px: int, image_s: float, n_parallel: int, minutes: float | None) -> int:
    """The largest side at which the trainings of a plan fit into their share of the time.

    Of the first level, which a search without --minutes makes; with it the second level is good enough.

    natural_px: what the images suggest. image_s: of training a proposed network, at that size; it grows with
    the square.
    """
    level = LEVELS[0 if minutes is None else 1]
    n_steps = level.evaluations * level.short_steps
    n_steps += (level.picks + 2 * level.random_baselines) * level.final_steps
    images = n_steps * Recipe.for_data(1).batch_size / n_parallel
    limit_s = SHARE * 60 * (minutes or DEFAULT_MINUTES)
    sizes = [natural_px, *(px for px in SIZES_PX if px < natural_px)]
    affordable = [px for px in sizes if images * image_s * (px / natural_px) ** 2 <= limit_s]
    return affordable[0] if affordable else sizes[-1]
