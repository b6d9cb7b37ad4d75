"""Who trains, who validates, who tests: stratified, without a common image, stored and verified.

Images with the same pixels form a group and a group lies in one split. Where the owner of the data gave
a test or validation split it is kept; copies of its images are dropped from the less guarded splits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError, UsageError

from .groups import kept_together, parts_of_groups
from .source import DROPPED, SPLITS, TEST, TRAIN, VAL, Listing

Assignment = npt.NDArray[np.int8]
MAX_TAKEN = 10_000  # more validation or test images would cost time and narrow the interval below 1 point
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Split:
    """assignment: (n,) int8, an index into SPLITS or DROPPED."""

    assignment: Assignment
    notes: tuple[str, ...] = ()

    def indices(self, split: int) -> npt.NDArray[np.int64]:
        """Samples of one split, ascending."""
        return np.flatnonzero(self.assignment == split).astype(np.int64)


def make_split(
    listing: Listing, groups: npt.NDArray[np.int64], seed: int, val_share: float | None = None
) -> Split:
    """Complete the given splits of `listing`. groups: (n,), equal where the pixels are equal.

    Samples of one group of `listing.groups` lie in one split too; the shares are then met as nearly as whole
    groups allow.

    Without a given test split a fifth of each class tests and a fifth validates; with one, 15 % of the
    training images validate. At most 10,000 each; each class keeps at least one image in every new split.
    `val_share` replaces these: the share of the images outside the test split that validates. Searches that
    learn from the validation images too ask for half.

    UsageError where a split lacks images, or where those that train teach nothing (`Task.check`).
    """
    assignment = listing.given.copy()
    drop_copies(assignment, groups)
    missing = [split for split in (TEST, VAL) if not (listing.given == split).any()]
    pool = np.flatnonzero(assignment == TRAIN)
    whole = groups if listing.groups is None else kept_together(listing, groups, assignment)
    _, first, member_of = np.unique(whole[pool], return_index=True, return_inverse=True)
    names, parts = listing.task.strata(listing.class_names, listing.labels)
    labels = parts[pool[first]]  # copies are of the part of the first
    sizes = None
    if listing.groups is not None:
        names, labels = parts_of_groups(listing.name, names, parts[pool], member_of, 1 + len(missing))
        sizes = np.bincount(member_of)
    fraction = min(taken_share(missing), MAX_TAKEN / max(1, len(first) if sizes is None else len(pool)))
    taken = np.full(len(first), TRAIN, np.int8)
    for label, class_name in enumerate(names):
        members = np.flatnonzero(labels == label)
        if len(members) < 1 + len(missing):
            raise UsageError(
                f"{listing.name}: class {class_name!r} has {len(members)} different training images, "
                f"at least {1 + len(missing)} are needed for one in each split"
                f"{_equals(names, parts, groups, label)}; add images or remove it"
            )
        order = np.random.default_rng(np.random.SeedSequence([seed, label])).permutation(members)
        weights = np.ones(len(order)) if sizes is None else sizes[order]
        begin, whole_weight = 0, weights.sum()
        for place, split in enumerate(missing):
            n = _n_of(weights[begin:], fraction * whole_weight)
            if split == VAL and val_share is not None:
                n = _n_of(weights[begin:], val_share * weights[begin:].sum())
            n = min(n, len(members) - begin - (len(missing) - place))  # one stays for each that follows
            taken[order[begin : begin + n]] = split
            begin += n
    assignment[pool] = taken[member_of]
    # Parts are put together and groups stay whole: what is rare may be in no training image now.
    listing.task.check(listing.name, listing.class_names, listing.labels, assignment == TRAIN)
    return Split(assignment, (*_notes(listing, groups, assignment), *_group_notes(listing, assignment)))


def taken_share(missing: Collection[int]) -> float:
    """The share of the samples without a split that each missing one takes, before the limit."""
    return 0.2 if TEST in missing else 0.15


def _n_of(weights: npt.NDArray[Any], wanted: float) -> int:
    """How many of them, from the first on, come nearest to a sum; at least one."""
    if (weights == 1).all():
        return max(1, round(wanted))
    return 1 + int(np.abs(np.cumsum(weights) - wanted).argmin())


def _equals(
    names: Sequence[str], parts: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], label: int
) -> str:
    """Which classes hold the same images as this one, for a message; empty where none does."""
    mine = parts == label
    shared = np.isin(groups, groups[mine]) & ~mine
    others = [names[other] for other in np.unique(parts[shared])]
    if not others:
        return ""
    n = int(np.isin(groups[mine], groups[shared]).sum())
    return f" ({n} of its {int(mine.sum())} images equal those of {', '.join(map(repr, others[:3]))})"


def _group_notes(listing: Listing, assignment: Assignment) -> tuple[str, ...]:
    if listing.groups is None:
        return ()
    counts = [len(np.unique(listing.groups[assignment == number])) for number in range(len(SPLITS))]
    told = ", ".join(f"{n} {name}" for name, n in zip(SPLITS, counts, strict=True))
    return (f"groups are kept together: {told}",)


def drop_copies(assignment: Assignment, groups: npt.NDArray[np.int64]) -> None:
    """Within each group keep the members of the most guarded split (test, then val, then train)."""
    guarded = np.full(int(groups.max()) + 1, TRAIN, np.int8)
    np.maximum.at(guarded, groups, assignment)
    assignment[assignment < guarded[groups]] = DROPPED


def _notes(listing: Listing, groups: npt.NDArray[np.int64], assignment: Assignment) -> tuple[str, ...]:
    notes = []
    n_copies = len(groups) - len(np.unique(groups))
    if n_copies:
        notes.append(
            f"{n_copies} images are copies of others: copies share a split, "
            f"{int((assignment == DROPPED).sum())} were dropped because val or test as given holds them"
        )
    labels_of = np.unique(np.stack([groups, listing.label_codes]), axis=1)
    n_contradictory = int((np.bincount(labels_of[0]) > 1).sum())
    if n_contradictory:
        notes.append(f"{n_contradictory} images appear under more than one class; check their labels")
    return tuple(notes)


def to_json(listing: Listing, split: Split, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The content of splits.json: sample names by split, and the digest of the list they come from."""
    names = {
        key: [listing.names[index] for index in split.indices(number).tolist()]
        for key, number in [*zip(SPLITS, range(3), strict=True), ("dropped", DROPPED)]
    }
    return {"version": _VERSION, "data": listing.name, "digest": listing.digest(), **extra, **names}


def from_json(listing: Listing, document: Mapping[str, Any]) -> Split:
    """The split that was stored; DamagedFileError when it belongs to other data."""
    if document.get("version") != _VERSION:
        raise DamagedFileError(
            f"splits.json: version {document.get('version')!r}, this program reads {_VERSION}"
        )
    if document.get("digest") != listing.digest():
        raise DamagedFileError(
            f"splits.json: {listing.name} changed since the run began (file names, labels or sizes differ); "
            f"restore the data, or start a new run"
        )
    position = {name: index for index, name in enumerate(listing.names)}
    assignment = np.full(len(position), DROPPED, np.int8)
    stored: list[str] = []
    for key, number in [*zip(SPLITS, range(3), strict=True), ("dropped", DROPPED)]:
        names = _names(document, key)
        stored += names
        known = [position[name] for name in names if name in position]
        assignment[known] = number
    if len(stored) != len(position) or set(stored) != set(position):
        raise DamagedFileError(
            f"splits.json: does not name each of the {len(position)} samples of {listing.name} exactly once; "
            f"restore the file, or start a new run"
        )
    for key in SPLITS:
        if not document[key]:
            raise DamagedFileError(f"splits.json: {key} is empty; restore the file, or start a new run")
    return Split(assignment)


def _names(document: Mapping[str, Any], key: str) -> Sequence[str]:
    names = document.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DamagedFileError(f"splits.json: {key!r} is not a list of sample names; restore the file")
    return names
