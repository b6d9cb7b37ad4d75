"""Other splits of the images of a run, drawn as the first ones were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import splits as splitting
from .dataset import MEMORY_CAP_MB, stored_conditions
from .gather import gather, open_source
from .pixels import ImageCache
from .source import DROPPED, TEST, TRAIN, data_request


def resplits(
    splits: Mapping[str, Any], seeds: Sequence[int], spec: str, *, seed: int, root: Path, **options: Any
) -> list[dict[str, Any]]:
    """Documents as splits.json, one for each of `seeds`: stratified, groups and copies kept together.

    What the owner of the data gave as test images stays out of all of them: then the others are split. All
    other images may be test images now. UsageError where a class has too few.

    splits: those of the run. spec, seed, options: as `load_data` was given them; options name labels.
    """
    root = Path(root)
    stored = stored_conditions(splits, None)
    gathered = gather(
        open_source(data_request(spec, root=root, **options), limit=stored.limit, seed=seed),
        stored.image_size,
        ImageCache(root / "cache" / "data", lambda text: None, None),
        memory_cap_mb=MEMORY_CAP_MB,
        skipped=stored.skipped,
    )
    listing = gathered.source.listing
    before = splitting.from_json(listing, splits).assignment
    kept_out = (before == DROPPED) | (listing.given == TEST)
    free = replace(listing, given=np.where(kept_out, DROPPED, TRAIN).astype(np.int8))
    extra = {key: splits[key] for key in ("image_size", "limit", "skipped") if key in splits}
    drawn = [splitting.make_split(free, gathered.known_groups, each) for each in seeds]
    return [splitting.to_json(listing, split, extra) for split in drawn]
