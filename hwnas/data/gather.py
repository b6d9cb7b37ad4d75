"""From what the user typed to the images that can be read, which `load_data` and `inspect_data` share."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.core.samples import SIZES
from targets.errors import DamagedFileError, UsageError
from targets.files import user_path

from .layout import ignored_note
from .openers import READERS, refuse_options
from .pixels import ImageCache, Pixels, ReadImages
from .source import NAMED, DataRequest, DataSource, Subset, unknown_source
from .text import TextSource, open_text

_NAMED_BROKEN = 20
"""Broken images that a message names with their reasons."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Gathered:
    """The images of a source that can be read.

    source: of these images.
    image_size: side in pixels.
    pixels: of these images; None where they are decoded on demand.
    groups: (n,) numbers, equal where the images are equal; None where the splits are known and need none.
    broken: why each other image cannot be read, by name.
    """

    source: DataSource
    image_size: int
    pixels: Pixels | None
    groups: npt.NDArray[np.int64] | None
    broken: Mapping[str, str]

    @property
    def known_groups(self) -> npt.NDArray[np.int64]:
        """The groups where somebody asked for them."""
        assert self.groups is not None
        return self.groups

    def require_whole(self) -> None:
        """DamagedFileError that names the broken images."""
        if self.broken:
            raise DamagedFileError(broken_text(self.broken))


def broken_text(broken: Mapping[str, str]) -> str:
    """How a message names broken images, some of many: the first 20 with their reasons."""
    reasons = list(broken.values())
    lines = reasons[:_NAMED_BROKEN]
    if len(reasons) > len(lines):
        lines.append(f"and {len(reasons) - len(lines)} more; `hwnas data check` names all")
    if len(reasons) == 1:
        return f"{lines[0]}, or leave it out with --skip-broken"
    return "\n  ".join([f"{len(reasons)} images are broken; --skip-broken leaves them out:", *lines])


def open_source(request: DataRequest, *, limit: int | None = None, seed: int = 0) -> DataSource:
    """The source that `request.spec` names, or a seeded draw of at most `limit` of its images."""
    source = _open(request)
    if limit is not None and limit < len(source.listing.names):
        source = _limited(source, limit, seed)
    return source


def open_pieces(
    request: DataRequest, length: int | None = None, val_share: float | None = None
) -> TextSource:
    """The text that `request.spec` names. length: of its pieces, as a run has stored it."""
    source = _open(request) if val_share is None else open_text(request, val_share)
    assert isinstance(source, TextSource)  # what a task of texts opens
    if length not in (None, source.natural_size()):
        raise UsageError(
            f"--image-size {length} is for images, and the pieces of {source.listing.name} have "
            f"{source.natural_size()} symbols; leave it out (--window says how many they have)"
        )
    return source


def gather(
    source: DataSource,
    image_size: int | None,
    cache: ImageCache,
    *,
    memory_cap_mb: float,
    skipped: Collection[str] = (),
    groups_known: bool = False,
) -> Gathered:
    """Look at every image of the source once.

    image_size: None for what suits the data.
    cache: holds what was seen before.
    memory_cap_mb: above it, images are decoded on demand.
    skipped: names that are left out although they may be read.
    groups_known: whether nobody asks which images are equal.
    """
    size = _size(source, image_size)
    in_memory = size_mb(source, size) <= memory_cap_mb
    n = len(source.listing.names)
    if groups_known and not in_memory:
        seen = ReadImages(None, np.zeros(n, np.int64), {})
    else:
        seen = cache.decode(source, size, in_memory=in_memory)
    names = source.listing.names
    broken = {names[index]: why for index, why in seen.broken.items()}
    if len(broken) == n:
        first = next(iter(broken.values()))
        told = source.listing.kind.told
        raise DamagedFileError(told(f"none of the {n} images of {source.listing.name} can be read; {first}"))
    whole = np.array([index not in seen.broken for index in range(n)])
    kept = np.array([name not in broken and name not in skipped for name in names])
    pixels, groups = seen.pixels, seen.groups
    if not kept.all():
        left_out = [name for name, keep in zip(names, kept, strict=True) if not keep]
        note = ignored_note(left_out, "broken image")[0]
        try:
            source = Subset.of(source, np.flatnonzero(kept), f"without {sorted(left_out)}", note)
        except UsageError as error:
            raise DamagedFileError(f"{broken_text(broken)}\nWithout them: {error}") from None
        if not (kept == whole).all():
            pixels = None if pixels is None else pixels[kept[whole]]
            groups = groups[kept[whole]]
    return Gathered(
        source=source,
        image_size=size,
        pixels=pixels,
        groups=None if groups_known else groups,
        broken={name: why for name, why in broken.items() if name not in skipped},
    )


def size_mb(source: DataSource, image_size: int) -> float:
    """What the decoded images take."""
    listing = source.listing
    values = math.prod(listing.kind.shape(listing.channels, image_size))
    return len(listing.names) * values * np.dtype(listing.kind.dtype).itemsize / 1e6


def _size(source: DataSource, image_size: int | None) -> int:
    """That of the samples; UsageError for one that they cannot have."""
    listing = source.listing
    kind, name = listing.kind, listing.name
    sizes = SIZES[kind.dims]
    if kind.dims == 2:
        if image_size is not None and image_size not in sizes:
            raise UsageError(f"image size {image_size}; allowed: {sizes[0]} to {sizes[-1]} px")
        return image_size or source.natural_size()
    length = source.natural_size()
    if image_size not in (None, length):
        raise UsageError(
            f"--image-size is for images, and the {kind.plural} of {name} are {length} {kind.unit} long; "
            f"leave it out ({kind.size_option} says how long they are)"
        )
    if length not in sizes:
        raise UsageError(
            f"{name}: {kind.plural} of {length} {kind.unit}; allowed: {sizes[0]} to {sizes[-1]}, as "
            f"{kind.size_option} sets them"
        )
    return length


def _open(request: DataRequest) -> DataSource:
    if request.spec in NAMED:
        refuse_options(request, "a data set that has its own labels", frozenset(("--labels",)))
        return _of_task(NAMED[request.spec](request), request)
    path = user_path(request.spec)
    if not (request.spec.strip() and path.exists()):  # an empty text would be the working directory
        raise unknown_source(request.spec)
    for asked in (path, request.labels_csv):
        if asked is not None and asked.exists() and not (asked.is_dir() or asked.is_file()):
            raise UsageError(f"{asked} is a pipe or a device; give a folder or a file")
    reader = next(row for row in READERS if row.matches(path, request))
    refuse_options(request, reader.what, reader.takes)
    return reader.open(path, request)


def _of_task(source: DataSource, request: DataRequest) -> DataSource:
    """A named set, which is made for one task."""
    own = source.listing.task.name
    if own != request.task.name:
        raise UsageError(
            f"{request.spec} is a data set of the task {own}, not of {request.task.name}; give --task {own}, "
            "or other --data"
        )
    return source


def _limited(source: DataSource, limit: int, seed: int) -> Subset:
    """At most `limit` samples: the same share of every class and given split."""
    listing = source.listing
    names, parts = listing.task.strata(listing.class_names, listing.labels)
    strata = listing.given.astype(np.int64) * len(names) + parts
    rng = np.random.default_rng(np.random.SeedSequence([seed, limit]))
    shuffled = rng.permutation(len(strata))
    chosen: list[int] = []
    for stratum in np.unique(strata):
        members = shuffled[strata[shuffled] == stratum]
        chosen += members[: len(members) * limit // len(strata)].tolist()
    kept = np.array(sorted(chosen), np.int64)
    if set(parts[kept].tolist()) != set(parts.tolist()):
        told = listing.kind.told
        raise UsageError(
            told(f"{listing.name}: a limit of {limit} images leaves a class without any; raise it")
        )
    return Subset.of(source, kept, f"{seed} {limit}", f"limited to {len(kept)} of {len(strata)} images")
