"""`load_data`: from what the user typed to images in memory, split without overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from hwnas.core.network_space import head_option
from hwnas.core.samples import IMAGE, SampleKind, area
from hwnas.tasks import CLASSIFICATION, LabelArray, Task
from targets.errors import DamagedFileError, UsageError

from . import splits as splitting
from .channel_statistics import nearly_one_colour, statistics_of
from .columns import Column
from .contents import content_hashes, contents_json
from .few import images_per_class
from .gather import gather, open_pieces, open_source, size_mb
from .image import PREPROCESSING
from .pixels import ImageCache, OpenBar, Pixels
from .source import SPLITS, TRAIN, DataRequest, DataSource, Listing, SourceOfSounds, data_request
from .splits import Split

if TYPE_CHECKING:
    import torch

    from hwnas.networks.mel_settings import LogMelSettings

SampleIndices = npt.NDArray[np.int64]
"""(n,) places of samples in the listing of their source."""
MEMORY_CAP_MB = 2000.0


@dataclass(frozen=True, eq=False)
class Data:
    """Samples in three splits: square images, signals, or pieces of a text.

    name: of the data set.
    class_names: in the order of the labels; of other tasks, what each output stands for.
    image_size: side in pixels, or length of a signal.
    in_channels: 1 for grey, 3 for colour; of signals as many as there are.
    mean, std: per channel, of the training samples; of images in 0..1; empty of texts.
    flip: whether a mirrored image is still one of its class.
    centred: of images that cannot be mirrored, whether the subject fills them, as characters do.
    labels: (n,) int64, (n, k) float32 where the task has several, or (n, s, s) uint8 of masks.
    task: what is learned of them.
    notes: what was ignored, dropped or limited.
    preprocessing: how an image became a square, or a signal a window.
    kind: what a sample is.
    """

    name: str
    class_names: tuple[str, ...]
    image_size: int
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    centred: bool
    labels: LabelArray = field(repr=False)
    notes: tuple[str, ...]
    _split: Split = field(repr=False)
    _source: DataSource = field(repr=False)
    _pixels: torch.Tensor | None = field(repr=False)
    _limit: int | None
    _skipped: tuple[str, ...] = ()
    preprocessing: str = PREPROCESSING
    task: Task = CLASSIFICATION
    kind: SampleKind = IMAGE

    @property
    def n_classes(self) -> int:
        """Number of classes, or of other outputs."""
        return len(self.class_names)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of what networks take."""
        return self.kind.shape(self.in_channels, self.image_size)

    @property
    def area(self) -> int:
        """Values of one channel of a sample."""
        return area(self.image_size, self.kind.dims)

    @property
    def network_shape(self) -> dict[str, Any]:
        """What networks for these samples are built for, as options of `load_space` and of baselines."""
        return {
            "image_size": self.image_size,
            "in_channels": self.in_channels,
            "n_classes": self.n_classes,
            **({} if self.kind.dims == 2 else {"dims": self.kind.dims}),
            **head_option(self.task.head),
        }

    @property
    def front_key(self) -> str:
        """The block that stands before networks of signals in their files (`front_blocks`); empty without."""
        if self.kind.dims != 1:
            return ""
        from hwnas.networks.front_blocks import FrontBlock

        return FrontBlock(self.in_channels, self.image_size, self.front).key

    def split(self, name: str) -> SampleIndices:
        """The samples of `train`, `val` or `test`, ascending."""
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}; known: {', '.join(SPLITS)}")
        return self._split.indices(SPLITS.index(name))

    def images(self, indices: Sequence[int] | SampleIndices) -> torch.Tensor:
        """(b, c, h, w) of these samples: uint8 of images, float32 of signals; int64 (b, length) of texts."""
        import torch

        if self._pixels is not None:
            shown = self._pixels[:, : self.in_channels] if self.task.planes else self._pixels
            return shown.index_select(0, torch.as_tensor(np.asarray(indices, np.int64)))
        return torch.from_numpy(
            np.stack([self._source.read(int(index), self.image_size) for index in indices])
        )

    def told_by(self, split: str) -> tuple[Column, ...]:
        """The columns by which results are told apart, of the samples of a split."""
        return tuple(column.at(self.split(split)) for column in self._source.listing.columns)

    @property
    def images_per_class(self) -> float:
        """The median over the classes of their images (`few`)."""
        return images_per_class(self._source.listing, self._split)

    @property
    def front(self) -> LogMelSettings | None:
        """Of sounds, how waveforms become what networks take."""
        return self._source.listing.front

    def inputs(self, indices: Sequence[int] | SampleIndices) -> torch.Tensor:
        """What exported files take of the given samples, raw: that of `images`, or waveforms (b, 1, 1, n)."""
        import torch

        if self.front is None:
            return self.images(indices)
        source = cast(SourceOfSounds, self._source)
        return torch.from_numpy(np.stack([source.raw(int(index)) for index in indices]))

    def splits_json(self) -> dict[str, Any]:
        """The content of splits.json; given back to `load_data`, it brings the very same splits."""
        extra: dict[str, Any] = {"image_size": self.image_size, "limit": self._limit}
        if self._skipped:
            extra["skipped"] = list(self._skipped)
        return splitting.to_json(self._source.listing, self._split, extra)

    def splits_record(self) -> dict[str, Any]:
        """The same with a hash of each sample, so that data that grew keep the split (`growth`)."""
        return self.splits_json() | contents_json(self._source, self._split, content_hashes(self._source))


def load_data(
    spec: str,
    image_size: int | None,
    seed: int,
    *,
    root: Path,
    labels_csv: str | Path | None = None,
    task: str | None = None,
    label_columns: Sequence[str] = (),
    group_column: str | None = None,
    report_by: Sequence[str] = (),
    window: int | None = None,
    hop: int | None = None,
    tokens: str | None = None,
    clip_seconds: float | None = None,
    download: bool = False,
    limit: int | None = None,
    skip_broken: bool = False,
    memory_cap_mb: float = MEMORY_CAP_MB,
    splits: Mapping[str, Any] | None = None,
    val_share: float | None = None,
    log: Callable[[str], None] = lambda text: None,
    progress: OpenBar | None = None,
) -> Data:
    """The data set that `spec` names: a known set, an image folder, a zip of one, or a CSV.

    Args:
        spec: `digits`, `cifar10` ..., or a path.
        image_size: 16..224 px; None: what suits the data (or what `splits` was made with).
        seed: of the split.
        root: data home; named sets lie in `root/datasets`, decoded images in `root/cache/data`.
        labels_csv: labels of the images in the folder or zip `spec`; a CSV as `spec` lists images beside it.
        task: what is learned, a name of `hwnas.tasks.TASKS`; None for classification.
        label_columns: columns of the CSV that it learns.
        group_column: column of the CSV; samples with one value of it lie in one split.
        report_by: columns of the CSV by whose values results are told apart.
        window, hop: samples of a window that recordings in a CSV are cut into, and from one to the next.
        tokens: what the symbols of a text are, `characters` or `words`.
        clip_seconds: length of sounds; longer ones are cut, shorter ones padded; None: what suits them.
        download: fetch a named set that is not there.
        limit: at most this many images (a seeded draw from every class and given split).
        skip_broken: leave out the images that cannot be read, and say which; else they are an error.
        memory_cap_mb: above it, images are decoded on demand.
        splits: what `Data.splits_json` gave; verified, never split again.
        val_share: part of the images that do not test that validates, where the data give no such split;
            None: what suits the data.
        log: told what was ignored, dropped, decoded.
        progress: opens the bar of a long decoding.
    """
    stored = None if splits is None else stored_conditions(splits, image_size)
    if stored is not None:
        image_size, limit = stored.image_size, stored.limit
    _check_numbers(seed, limit)
    if val_share is not None and not 0 < val_share < 1:
        raise UsageError(f"val_share {val_share}; allowed: between 0 and 1")
    request = data_request(
        spec,
        root=root,
        download=download,
        labels_csv=labels_csv,
        task=task,
        label_columns=label_columns,
        group_column=group_column,
        report_by=report_by,
        window=window,
        hop=hop,
        tokens=tokens,
        clip_seconds=clip_seconds,
    )
    if request.task.texts:
        return _load_text(request, image_size, limit, splits, val_share, log)
    gathered = gather(
        open_source(request, limit=limit, seed=seed),
        image_size,
        ImageCache(root / "cache" / "data", log, progress),
        memory_cap_mb=memory_cap_mb,
        skipped=stored.skipped if stored else (),
        groups_known=stored is not None,
    )
    source, size, pixels = gathered.source, gathered.image_size, gathered.pixels
    listing = source.listing
    kind = listing.kind
    with kind.speaking():
        if stored is not None or not skip_broken:
            gathered.require_whole()
        if splits is None:
            split = splitting.make_split(listing, gathered.known_groups, seed, val_share)
        else:
            split = splitting.from_json(listing, splits)
    mean, std = statistics_of(source, pixels, split.indices(TRAIN), size)
    labels = listing.labels if not listing.task.planes else _masks(listing, pixels, size, memory_cap_mb)
    trained = listing.labels[split.indices(TRAIN)]
    notes = (*listing.notes, *split.notes, *(nearly_one_colour(mean, std) if kind.levels else ()))
    notes += tuple(listing.task.notes(listing.class_names, trained))
    if pixels is None:
        most = f"{size_mb(source, size):.0f} MB of pixels exceed {memory_cap_mb:.0f} MB"
        notes += (f"{most}: images are decoded on demand",)
    notes = tuple(map(kind.told, notes))
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
        centred=listing.centred,
        labels=labels,
        task=listing.task.fitted(trained),
        notes=notes,
        _split=split,
        _source=source,
        _pixels=None if pixels is None else _tensor(pixels),
        _limit=limit,
        _skipped=stored.skipped if stored else tuple(sorted(gathered.broken)),
        preprocessing=listing.preprocessing,
        kind=kind,
    )


def _load_text(
    request: DataRequest,
    length: int | None,
    limit: int | None,
    splits: Mapping[str, Any] | None,
    val_share: float | None,
    log: Callable[[str], None],
) -> Data:
    """The text in pieces. It is cut in the same way at each call, so that stored splits only verify it."""
    if limit is not None:
        raise UsageError(f"limit of {limit}: a text is read as a whole; shorten the file instead")
    source = open_pieces(request, length, val_share)
    listing = source.listing
    split = Split(listing.given) if splits is None else splitting.from_json(listing, splits)
    for note in listing.notes:
        log(f"{listing.name}: {note}")
    return Data(
        name=listing.name,
        class_names=listing.class_names,
        image_size=source.natural_size(),
        in_channels=listing.in_channels,
        mean=(),
        std=(),
        flip=listing.flip,
        centred=listing.centred,
        labels=listing.labels,
        task=listing.task.fitted(listing.labels[split.indices(TRAIN)]),
        notes=listing.notes,
        _split=split,
        _source=source,
        _pixels=_tensor(source.pieces),
        _limit=None,
        preprocessing=listing.preprocessing,
        kind=listing.kind,
    )


def _masks(listing: Listing, pixels: Pixels | None, size: int, memory_cap_mb: float) -> LabelArray:
    """(n, s, s): the last channel of all pixels, which have to lie in memory."""
    if pixels is None:
        taken = len(listing.names) * listing.channels * size**2 / 1e6
        raise UsageError(
            f"{listing.name}: images and masks take {taken:,.0f} MB at {size} px, and {memory_cap_mb:,.0f} "
            "MB are held; masks cannot be decoded on demand: give a smaller --image-size, or fewer images"
        )
    return pixels[:, -1]


def _tensor(pixels: Pixels) -> torch.Tensor:
    import torch

    return torch.from_numpy(pixels)


def _check_numbers(seed: int, limit: int | None) -> None:
    if seed < 0:
        raise UsageError(f"seed {seed}; allowed: 0 or more")
    if limit is not None and limit < 1:
        raise UsageError(f"limit of {limit} images; allowed: 1 or more")


@dataclass(frozen=True, slots=True)
class StoredConditions:
    """What splits.json was made with; a resume does not change it."""

    image_size: int
    limit: int | None
    skipped: tuple[str, ...]


def stored_conditions(splits: Mapping[str, Any], image_size: int | None) -> StoredConditions:
    """The conditions in a splits.json; UsageError for another image size."""
    stored, limit, skipped = splits.get("image_size"), splits.get("limit"), splits.get("skipped", [])
    if not isinstance(stored, int) or not (limit is None or isinstance(limit, int)):
        raise DamagedFileError("splits.json: image_size or limit is missing or no number; restore the file")
    if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
        raise DamagedFileError("splits.json: 'skipped' is not a list of sample names; restore the file")
    if image_size is not None and image_size != stored:
        raise UsageError(f"image size {image_size}, the run began with {stored}; keep it or start a new run")
    return StoredConditions(stored, limit, tuple(skipped))
