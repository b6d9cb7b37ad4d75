"""The images of a search that goes on with data that grew: its split, kept and extended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwnas.data import GrowthCounts, grown_splits
from hwnas.data.pixels import OpenBar
from hwnas.runs.config import SearchConfig
from lut.home import data_home
from targets.files import read_json


def splits_of(
    config: SearchConfig,
    log: Callable[[str], None] = lambda text: None,
    progress: OpenBar | None = None,
) -> tuple[Mapping[str, Any], GrowthCounts]:
    """splits.json of the search that goes on, and what changed since the finished one."""
    earlier = read_json(Path(config.continue_from or "") / "splits.json", "the splits of the earlier run")
    return grown_splits(
        earlier,
        config.data,
        config.seed,
        root=data_home(config.home),
        **config.label_options,
        download=config.download,
        skip_broken=config.skip_broken,
        log=log,
        progress=progress,
    )
