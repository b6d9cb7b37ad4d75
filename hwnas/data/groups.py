"""Samples that belong together, as pictures of one person: a network is not to be tested on whom it knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from targets.errors import UsageError

from .source import DROPPED, SPLITS, Listing

GroupNumbers = npt.NDArray[np.int64]


def kept_together(listing: Listing, copies: GroupNumbers, assignment: npt.NDArray[np.int8]) -> GroupNumbers:
    """(n,) numbers, equal for samples that are joined by a group, by equal pixels, or by a chain of both.

    UsageError where the owner of the data put one group into two splits.
    """
    assert listing.groups is not None  # asked for where there are groups
    _check_given(listing, assignment)
    return joined(copies, listing.groups)


def joined(one: GroupNumbers, other: GroupNumbers) -> GroupNumbers:
    """The connected components of samples that share a number in either array, (n,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_one, n_other = int(one.max()) + 1, int(other.max()) + 1
    edges = coo_array(
        (np.ones(len(one), np.int8), (one, n_one + other)), shape=(n_one + n_other, n_one + n_other)
    )
    _, component = connected_components(edges, directed=False)
    numbers: GroupNumbers = component[one].astype(np.int64)
    return numbers


def parts_of_groups(
    source: str, names: Sequence[str], parts: GroupNumbers, member_of: GroupNumbers, least: int
) -> tuple[tuple[str, ...], GroupNumbers]:
    """Names of the parts, and of every group that of most of its samples; small parts are put together.

    parts: (n,) of the samples. member_of: (n,), their group. least: groups that a part needs.
    """
    counts = np.zeros((int(member_of.max()) + 1, len(names)), np.int64)
    np.add.at(counts, (member_of, parts), 1)
    if len(counts) < least:
        raise UsageError(
            f"{source}: --group-column makes {len(counts)} group(s) of the training images, at least {least} "
            "are needed for one in each split; leave it out, or give a split column"
        )
    labels = counts.argmax(axis=1)
    per_part = np.bincount(labels, minlength=len(names))
    large = np.flatnonzero(per_part >= least)
    place = np.full(len(names), len(large), np.int64)
    place[large] = np.arange(len(large))
    kept = [names[i] for i in large.tolist()]
    if per_part.sum() - per_part[large].sum() >= least:
        kept.append("others")
    elif len(large):
        place[place == len(large)] = int(per_part[large].argmax())
    else:
        kept = ["all"]
    return tuple(kept), place[labels]


def _check_given(listing: Listing, assignment: npt.NDArray[np.int8]) -> None:
    assert listing.groups is not None  # as above
    seen: dict[int, int] = {}
    for index in np.flatnonzero(assignment != DROPPED).tolist():
        first = seen.setdefault(int(listing.groups[index]), index)
        if assignment[first] != assignment[index]:
            places = [f"{listing.names[i]} ({SPLITS[assignment[i]]})" for i in (first, index)]
            raise UsageError(
                f"{listing.name}: {places[0]} and {places[1]} are of one group, so the splits that the "
                "data come with let a network be tested on what it knows; leave out the split column or "
                "folders, or --group-column"
            )
