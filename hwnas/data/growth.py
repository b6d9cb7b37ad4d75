"""Data that grew since a run: its split is kept, and what is new joins it without a leak.

Samples are known again by their content, wherever they lie now. A new one goes where its kin is: the samples
with equal pixels, and those of its group. Without kin that is known, a hash of its content and the seed deals
it to train, val or test, so that whatever comes later moves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.errors import UsageError

from . import splits as splitting
from .contents import CLASSES, content_hashes, contents_json, known_contents
from .dataset import MEMORY_CAP_MB
from .gather import gather, open_source
from .groups import joined
from .pixels import ImageCache, OpenBar
from .source import DROPPED, SPLITS, TEST, TRAIN, VAL, Listing, data_request
from .splits import MAX_TAKEN, Split, taken_share

ADDED = "added"
"""Key of splits.json: names of the samples that an earlier run did not know."""

_STRANGER = -2


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthCounts:
    """How many samples there were and are.

    kept: known by their content, wherever they lie now, or by their name; they keep their split.
    changed: of these, samples whose content is another one under the same name.
    added: new ones, in each split.
    left_out: new ones that would lie in two splits, or that copy a sample of a more guarded one.
    removed: known ones that are gone.
    """

    kept: int
    changed: int
    added: Mapping[str, int]
    left_out: int
    removed: int

    def in_words(self) -> str:
        """One line for the log."""
        added = ", ".join(f"{n} {name}" for name, n in self.added.items())
        parts = [f"{self.kept} images keep their split", f"{sum(self.added.values())} are new ({added})"]
        for n, what in (
            (self.changed, "changed and keep the split of their name"),
            (self.removed, "of the earlier run are gone"),
            (self.left_out, "new ones left out, whose kin lies in another split"),
        ):
            parts += [f"{n} {what}"] if n else []
        return "; ".join(parts)


@dataclass(frozen=True, eq=False)
class Growth:
    """The split of data that grew. added: (n,) bool, samples that the earlier run did not know."""

    split: Split
    added: npt.NDArray[np.bool_]
    counts: GrowthCounts


def grown_splits(
    earlier: Mapping[str, Any],
    spec: str,
    seed: int,
    *,
    skip_broken: bool = False,
    memory_cap_mb: float = MEMORY_CAP_MB,
    log: Callable[[str], None] = lambda text: None,
    progress: OpenBar | None = None,
    **request: Any,
) -> tuple[dict[str, Any], GrowthCounts]:
    """The content of splits.json for data that grew; `load_data` takes it as `splits`.

    earlier: splits.json of the run before. spec, seed, request: as of `load_data`. UsageError where the data
    are other ones, hold nothing new, or have other classes.
    """
    asked = data_request(spec, **request)
    source, size = open_source(asked), int(earlier["image_size"])
    before = known_contents(earlier)
    _require_comparable(source.listing, earlier, before is not None)
    assert before is not None  # as was just required
    cache = ImageCache(asked.root / "cache" / "data", log, progress)
    gathered = gather(source, size, cache, memory_cap_mb=memory_cap_mb)
    if not skip_broken:
        gathered.require_whole()
    source, listing = gathered.source, gathered.source.listing
    hashes = content_hashes(source)
    with listing.kind.speaking():
        growth = grow(listing, gathered.known_groups, hashes, before, seed)
    log(f"{listing.name}: {listing.kind.told(growth.counts.in_words())}")
    extra: dict[str, Any] = {"image_size": size, "limit": None}
    if gathered.broken:
        extra["skipped"] = sorted(gathered.broken)
    extra[ADDED] = [listing.names[i] for i in np.flatnonzero(growth.added).tolist()]
    document = splitting.to_json(listing, growth.split, extra)
    return document | contents_json(source, growth.split, hashes), growth.counts


def grow(
    listing: Listing,
    copies: npt.NDArray[np.int64],
    hashes: Sequence[str],
    before: Mapping[str, tuple[int, str]],
    seed: int,
) -> Growth:
    """Keep the split of what was there, and deal what is new.

    copies: (n,), equal where the pixels are. hashes: of the contents. before: split and hash by name.
    """
    place, changed = _known_places(listing, hashes, before)
    added = place == _STRANGER
    if added.all():
        raise UsageError(
            f"{listing.name} holds no image of the earlier run: these are other data; search them on their "
            "own"
        )
    if not added.any() and not changed:
        raise UsageError(f"{listing.name} holds no image that is new; leave it away to train on as before")
    kin = copies if listing.groups is None else joined(copies, listing.groups)
    missing = _dealt(listing)
    assignment = place.copy()
    rates = _rates(listing, place, missing)
    for members in _of_each(kin, added):
        fresh = members[added[members]]
        to = _split_of_kin(listing, place[members], fresh, hashes, rates, seed)
        if to is None:
            assignment[fresh] = DROPPED
            continue
        fits = (listing.given[fresh] == to) | ((listing.given[fresh] == TRAIN) & (to in missing))
        assignment[fresh] = np.where(fits, to, DROPPED)
    split = Split(assignment.astype(np.int8))
    splitting.drop_copies(split.assignment, copies)  # a changed one may equal one of another split now
    for number, name in enumerate(SPLITS):
        if not (split.assignment == number).any():
            raise UsageError(f"{listing.name}: the images of {name} are all gone; search anew")
    listing.task.check(listing.name, listing.class_names, listing.labels, split.assignment == TRAIN)
    known = {listing.names[i] for i in np.flatnonzero(~added).tolist()}
    counts = GrowthCounts(
        kept=int((~added).sum()),
        changed=changed,
        added={name: int((split.assignment[added] == i).sum()) for i, name in enumerate(SPLITS)},
        left_out=int((split.assignment[added] == DROPPED).sum()),
        removed=_n_removed(before, hashes, known),
    )
    return Growth(split, added, counts)


def _known_places(
    listing: Listing, hashes: Sequence[str], before: Mapping[str, tuple[int, str]]
) -> tuple[npt.NDArray[np.int64], int]:
    """(n,) the earlier split of each sample or `_STRANGER`, and how many changed under their name."""
    here = dict(zip(listing.names, hashes, strict=True))
    moved: dict[str, int] = {}
    for number, content in before.values():
        moved[content] = max(number, moved.get(content, number))  # the most guarded one
    for name, (_, content) in before.items():
        if here.get(name) == content:
            moved.pop(content, None)  # it is where it was: another of that content is a copy
    place, changed = np.full(len(hashes), _STRANGER, np.int64), 0
    for i, (name, content) in enumerate(zip(listing.names, hashes, strict=True)):
        number, then = before.get(name, (_STRANGER, ""))
        if then == content:
            place[i] = number
        elif content in moved:
            place[i] = moved[content]
        elif number != _STRANGER:
            place[i] = number
            changed += 1
    return place, changed


def _dealt(listing: Listing) -> frozenset[int]:
    """Splits that samples without a given one may come to: train, and those that the owner does not give."""
    return frozenset({TRAIN, *(split for split in (VAL, TEST) if not (listing.given == split).any())})


def _rates(listing: Listing, place: npt.NDArray[np.int64], missing: frozenset[int]) -> Mapping[int, float]:
    """The share of new samples that validates and tests, as in a first split."""
    n_new = int((place == _STRANGER).sum())
    return {
        split: min(taken_share(missing), max(0, MAX_TAKEN - int((place == split).sum())) / max(1, n_new))
        for split in (TEST, VAL)
        if split in missing
    }


def _of_each(kin: npt.NDArray[np.int64], added: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """The members of every kin that has a new one."""
    order = np.argsort(kin, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(kin[order])) + 1)
    return [part for part in parts if added[part].any()]


def _split_of_kin(
    listing: Listing,
    places: npt.NDArray[np.int64],
    fresh: npt.NDArray[np.int64],
    hashes: Sequence[str],
    rates: Mapping[int, float],
    seed: int,
) -> int | None:
    """Where the new samples of a kin go; None where it lies in two splits already."""
    known = set(places[places >= 0].tolist())
    if len(known) > 1:
        return None
    if known:
        return int(known.pop())
    given = int(listing.given[fresh].max())
    return given if given != TRAIN else _deal(min(hashes[i] for i in fresh), rates, seed)


def _deal(content: str, rates: Mapping[int, float], seed: int) -> int:
    """A split by the hash of content and seed."""
    digest = hashlib.blake2b(f"{seed} {content}".encode(), digest_size=8).digest()
    drawn = int.from_bytes(digest, "big") / 2**64
    for split, rate in rates.items():
        if drawn < rate:
            return split
        drawn -= rate
    return TRAIN


def _n_removed(before: Mapping[str, tuple[int, str]], hashes: Sequence[str], names: set[str]) -> int:
    here = set(hashes)
    return sum(name not in names and content not in here for name, (_, content) in before.items())


def _require_comparable(listing: Listing, earlier: Mapping[str, Any], has_contents: bool) -> None:
    """UsageError where the earlier split says nothing of these data, or the classes are others."""
    if listing.task.texts:
        raise UsageError(
            f"{listing.name}: a text is split in its order, so that a longer one is another; search it anew"
        )
    if not has_contents:
        raise UsageError(
            "the earlier run kept no hashes of its images, as those of older versions; search the new data "
            "anew"
        )
    old, new = earlier[CLASSES], list(listing.class_names)
    more, gone = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    if more or gone:
        parts = [f"{', '.join(map(repr, more[:5]))} new" if more else ""]
        parts += [f"{', '.join(map(repr, gone[:5]))} gone" if gone else ""]
        raise UsageError(
            f"{listing.name}: classes changed since the earlier run ({'; '.join(filter(None, parts))}), and "
            "its networks answer for the earlier ones; search anew, or keep the images of other classes apart"
        )
    if old != new:
        raise UsageError(
            f"{listing.name}: the classes have another order than in the earlier run; search anew"
        )
