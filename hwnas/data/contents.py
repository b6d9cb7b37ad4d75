"""What each sample holds, as a short hash, by which it is known again in data that grew."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .source import DROPPED, SPLITS, DataSource
from .splits import Split

KEPT = (*zip(SPLITS, range(3), strict=True), ("dropped", DROPPED))
"""Keys of splits.json that list samples, and the number of each in an assignment."""

CONTENTS, CLASSES = "contents", "classes"
"""Keys of splits.json: the hashes in the order of the names, and the names of the classes."""

_BYTES = 10  # of a million samples two are alike by chance once in 2.4e12


def content_hashes(source: DataSource) -> list[str]:
    """A hash of every sample's file, or of its values where it has none."""
    if source.listing.task.texts:
        return []  # the pieces of a text are known by their place alone

    def look(index: int) -> str:
        return hashlib.blake2b(source.content_key(index), digest_size=_BYTES).hexdigest()

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(look, range(len(source.listing.names))))


def contents_json(source: DataSource, split: Split, hashes: Sequence[str]) -> dict[str, Any]:
    """What splits.json says besides, so that data that grew keep the split; nothing of texts."""
    if not hashes:
        return {}
    known = np.array(hashes)
    return {
        CLASSES: list(source.listing.class_names),
        CONTENTS: {key: known[split.assignment == number].tolist() for key, number in KEPT},
    }


def known_contents(document: Mapping[str, Any]) -> dict[str, tuple[int, str]] | None:
    """Split and hash of every sample by name, as splits.json has them; None where it has no hashes."""
    contents = document.get(CONTENTS)
    if not isinstance(contents, Mapping):
        return None
    return {
        name: (number, content)
        for key, number in KEPT
        for name, content in zip(document[key], contents[key], strict=True)
    }
