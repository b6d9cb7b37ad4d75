"""`load_data`: from what the user typed to images in memory, split without overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError, UsageError

from . import splits as splitting
from .folder import open_folder
from .image import MAX_SIZE, MIN_SIZE, PREPROCESSING
from .pixels import Pixels, content_groups, load_pixels, pixel_groups
from .source import NAMED, SPLITS, TRAIN, DataRequest, DataSource, Subset, unknown_source
from .splits import Split
from .table import open_table

if TYPE_CHECKING:
    import torch

SampleIndices = npt.NDArray[np.int64]
"""(n,) places of samples in the listing of their source."""
STATISTICS_SAMPLES = 5_000  # images read for mean and std when the data is decoded on demand
_STATISTICS_PIXELS = 1024 * 32**2  # counted at a time: 8 bytes each


@dataclass(frozen=True, eq=False)
class Data:
    """Labelled square images in three splits.

    name: of the data set.
    class_names: in the order of the labels.
    image_size: side in pixels.
    in_channels: 1 for grey, 3 for colour.
    mean, std: per channel, of the training images, in 0..1.
    flip: whether a mirrored image is still one of its class.
    labels: (n,) int64.
    notes: what was ignored, dropped or limited.
    preprocessing: how an image became a square.
    """

    name: str
    class_names: tuple[str, ...]
    image_size: int
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    labels: npt.NDArray[np.int64] = field(repr=False)
    notes: tuple[str, ...]
    _split: Split = field(repr=False)
    _source: DataSource = field(repr=False)
    _pixels: torch.Tensor | None = field(repr=False)
    _limit: int | None
    preprocessing: str = PREPROCESSING

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def split(self, name: str) -> SampleIndices:
        """SampleIndices of the samples of `train`, `val` or `test`, ascending."""
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}; known: {', '.join(SPLITS)}")
        return self._split.indices(SPLITS.index(name))

    def images(self, indices: Sequence[int] | SampleIndices) -> torch.Tensor:
        """uint8 (b, c, h, w) of the given samples."""
        import torch

        if self._pixels is not None:
            return self._pixels.index_select(0, torch.as_tensor(np.asarray(indices, np.int64)))
        return torch.from_numpy(
            np.stack([self._source.read(int(index), self.image_size) for index in indices])
        )

    def splits_json(self) -> dict[str, Any]:
        """The content of splits.json; given back to `load_data`, it brings the very same splits."""
        extra = {"image_size": self.image_size, "limit": self._limit}
        return splitting.to_json(self._source.listing, self._split, extra)


def load_data(
    spec: str,
    image_size: int | None,
    seed: int,
    *,
    root: Path,
    labels_csv: Path | None = None,
    download: bool = False,
    limit: int | None = None,
    memory_cap_mb: float = 2000,
    splits: Mapping[str, Any] | None = None,
    val_share: float | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> Data:
    """The data set that `spec` names: a known set, an image folder, a zip of one, or a CSV.

    Args:
        spec: `digits`, `cifar10` ..., or a path.
        image_size: 16..224 px; None: what suits the data (or what `splits` was made with).
        seed: of the split.
        root: data home; named sets lie in `root/datasets`, decoded images in `root/cache/data`.
        labels_csv: labels of the images in the folder or zip `spec`; a CSV as `spec` lists images beside it.
        download: fetch a named set that is not there.
        limit: at most this many images (a seeded draw from every class and given split).
        memory_cap_mb: above it, images are decoded on demand.
        splits: what `Data.splits_json` gave; verified, never split again.
        val_share: part of the images that do not test that validates, where the data give no such split;
            None: what suits the data.
        log: told what was ignored, dropped, decoded.
    """
    if splits is not None:
        image_size, limit = _stored_question(splits, image_size)
    _check_numbers(image_size, seed, limit)
    if val_share is not None and not 0 < val_share < 1:
        raise UsageError(f"val_share {val_share}; allowed: between 0 and 1")
    source = _open(DataRequest(spec=spec, root=root, download=download, labels_csv=labels_csv))
    if limit is not None and limit < len(source.listing.names):
        source = _limited(source, limit, seed)
    listing = source.listing
    size = image_size or source.natural_size()
    size_mb = len(listing.names) * listing.in_channels * size * size / 1e6
    pixels = load_pixels(source, size, root / "cache" / "data", log) if size_mb <= memory_cap_mb else None
    if splits is not None:
        split = splitting.from_json(listing, splits)
    else:
        groups = content_groups(source) if pixels is None else pixel_groups(pixels)
        split = splitting.make_split(listing, groups, seed, val_share)
    mean, std = _statistics(source, pixels, split.indices(TRAIN), size)
    notes = (*listing.notes, *split.notes)
    if pixels is None:
        notes += (f"{size_mb:.0f} MB of pixels exceed {memory_cap_mb:.0f} MB: images are decoded on demand",)
    for note in notes:
        log(f"{listing.name}: {note}")
    return Data(
        name=listing.name,
        class_names=listing.class_names,
        image_size=size,
        in_channels=listing.in_channels,
        mean=mean,
        std=std,
        flip=listing.flip,
        labels=listing.labels,
        notes=notes,
        _split=split,
        _source=source,
        _pixels=None if pixels is None else _tensor(pixels),
        _limit=limit,
    )


def _tensor(pixels: Pixels) -> torch.Tensor:
    import torch

    return torch.from_numpy(pixels)


def _open(request: DataRequest) -> DataSource:
    """The source that `request.spec` names."""
    if request.spec in NAMED:
        return NAMED[request.spec](request)
    path = Path(request.spec).expanduser()
    if not path.exists():
        raise unknown_source(request.spec)
    if path.suffix.lower() == ".csv":
        return open_table(path, path.parent)
    if request.labels_csv is not None:
        return open_table(request.labels_csv, path)
    return open_folder(path)


def _check_numbers(image_size: int | None, seed: int, limit: int | None) -> None:
    if image_size is not None and not MIN_SIZE <= image_size <= MAX_SIZE:
        raise UsageError(f"image size {image_size}; allowed: {MIN_SIZE} to {MAX_SIZE} px")
    if seed < 0:
        raise UsageError(f"seed {seed}; allowed: 0 or more")
    if limit is not None and limit < 1:
        raise UsageError(f"limit of {limit} images; allowed: 1 or more")


def _stored_question(splits: Mapping[str, Any], image_size: int | None) -> tuple[int, int | None]:
    """Image size and limit that `splits` was made with; a resume does not change them."""
    stored, limit = splits.get("image_size"), splits.get("limit")
    if not isinstance(stored, int) or not (limit is None or isinstance(limit, int)):
        raise DamagedFileError("splits.json: image_size or limit is missing or no number; restore the file")
    if image_size is not None and image_size != stored:
        raise UsageError(f"image size {image_size}, the run began with {stored}; keep it or start a new run")
    return stored, limit


def _limited(source: DataSource, limit: int, seed: int) -> Subset:
    """At most `limit` samples: the same share of every class and given split."""
    listing = source.listing
    strata = listing.given.astype(np.int64) * len(listing.class_names) + listing.labels
    rng = np.random.default_rng(np.random.SeedSequence([seed, limit]))
    shuffled = rng.permutation(len(strata))
    chosen: list[int] = []
    for stratum in np.unique(strata):
        members = shuffled[strata[shuffled] == stratum]
        chosen += members[: len(members) * limit // len(strata)].tolist()
    kept = np.array(sorted(chosen), np.int64)
    if set(listing.labels[kept].tolist()) != set(listing.labels.tolist()):
        raise UsageError(f"{listing.name}: a limit of {limit} images leaves a class without any; raise it")
    few = replace(
        listing,
        names=tuple(listing.names[index] for index in kept),
        labels=listing.labels[kept],
        given=listing.given[kept],
        sizes_bytes=listing.sizes_bytes[kept],
        content=listing.content and f"{listing.content} {seed} {limit}",
        notes=(*listing.notes, f"limited to {len(kept)} of {len(strata)} images"),
    )
    return Subset(source, kept, few)


def _statistics(
    source: DataSource, pixels: Pixels | None, train: SampleIndices, size: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of the training images, in 0..1."""
    if pixels is None:
        train = train[np.unique(np.linspace(0, len(train) - 1, STATISTICS_SAMPLES).astype(int))]
    counts = np.zeros((source.listing.in_channels, 256), np.int64)  # a histogram is exact and needs no copy
    step = max(1, _STATISTICS_PIXELS // size**2)
    for start in range(0, len(train), step):
        chosen = train[start : start + step]
        part = np.stack([source.read(int(i), size) for i in chosen]) if pixels is None else pixels[chosen]
        for channel, count in enumerate(counts):
            count += np.bincount(part[:, channel].ravel(), minlength=256)
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    std = np.sqrt(share @ levels**2 - mean**2)
    std[std < 1 / 255] = 1.0  # blank images: nothing to scale
    return tuple(mean.tolist()), tuple(std.tolist())
