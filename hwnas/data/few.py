"""How many images of a class there are: with few, one test split says little of a network."""

from __future__ import annotations

from statistics import median

from .source import DROPPED, Listing
from .splits import Split


def images_per_class(listing: Listing, split: Split) -> float:
    """The median over the classes (tags, ranges of targets) of their images in all splits."""
    used = split.assignment != DROPPED
    counts = [
        int((there & used).sum()) for _, there in listing.task.members(listing.class_names, listing.labels)
    ]
    return float(median([count for count in counts if count] or [0]))
