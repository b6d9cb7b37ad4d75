"""What every data source offers, and the registry of those that have a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt

from hwnas.core.names import NAMES
from hwnas.core.registry import Registry
from hwnas.core.samples import IMAGE, SIZES, WINDOW, SampleKind
from hwnas.tasks import CLASSIFICATION, LabelArray, Task, task_named
from targets.errors import UsageError
from targets.files import sha256

from .columns import Column
from .image import PREPROCESSING

if TYPE_CHECKING:
    from hwnas.networks.mel_settings import LogMelSettings

SPLITS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
DROPPED = -1

SampleArray = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | npt.NDArray[np.int64]
"""(c, h, w): an image of 256 levels, or floats with h = 1; (length,) numbers of symbols."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The n samples of a source in a fixed order, before any pixel is read.

    name: of the data set.
    class_names: in the order of their numbers; of other tasks, what each output stands for.
    in_channels: 1 for grey, 3 for colour.
    flip: whether a mirrored image is still one of its class.
    names: of the samples, unique.
    labels: (n,) int64, an index into class_names; (n, k) float32 where a task has several; of masks (n, k)
        int64, how many pixels each class has; of boxes (n, m, 6) float32.
    given: (n,) int8, an index into SPLITS: where the owner of the data put the sample, else train.
    sizes_bytes: (n,) int64.
    notes: what the user is told about the data.
    content: identifies the pixels, for the cache; None where they are cheap to read again.
    centred: of images that cannot be mirrored, whether the subject fills them, as characters do.
    task: what is learned of them.
    groups: (n,) numbers, equal for samples that must not lie in two splits; None where nobody said so.
    columns: by which results are told apart: that of the groups, and those that the user names.
    kind: what a sample is.
    preprocessing: how files became samples, in words.
    front: of sounds, how waveforms become what networks take; None where samples are that already.
    """

    name: str
    class_names: tuple[str, ...]
    in_channels: int
    flip: bool
    names: tuple[str, ...]
    labels: LabelArray
    given: npt.NDArray[np.int8]
    sizes_bytes: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    content: str | None = None
    centred: bool = True
    task: Task = CLASSIFICATION
    groups: npt.NDArray[np.int64] | None = None
    columns: tuple[Column, ...] = ()
    kind: SampleKind = IMAGE
    preprocessing: str = PREPROCESSING
    front: LogMelSettings | None = None

    def __post_init__(self) -> None:
        with self.kind.speaking():
            self.task.check(self.name, self.class_names, self.labels, self.given == TRAIN)

    @property
    def channels(self) -> int:
        """Of what `read` gives: those of the image, and behind them its label where that is a mask."""
        return self.in_channels + self.task.planes

    @property
    def label_codes(self) -> npt.NDArray[np.int64]:
        """(n,) numbers, equal where the labels are."""
        _, codes = np.unique(self.labels, axis=0, return_inverse=True)
        return codes.reshape(-1).astype(np.int64)

    def digest(self) -> str:
        """SHA-256 of names, labels and sizes: equal when the list of files is the same."""
        labels = (label.tolist() for label in self.labels)
        rows = zip(self.names, labels, self.given, self.sizes_bytes, strict=True)
        text = "\n".join(f"{name}\t{label}\t{given}\t{size}" for name, label, given, size in rows)
        return sha256("\n".join((*self.class_names, self.task.mark, text)).encode("utf-8", "surrogateescape"))


class DataSource(Protocol):
    """Labelled samples that can be read one at a time, in any order."""

    @property
    def listing(self) -> Listing:
        """The samples."""
        ...

    def natural_size(self) -> int:
        """The image size that suits the data, a multiple of 16 within 16..224 px; of signals their length."""
        ...

    def read(self, index: int, image_size: int) -> SampleArray:
        """One sample, (channels, h, w) as its kind has it; DamagedFileError naming a broken file."""
        ...

    def content_key(self, index: int) -> bytes:
        """Equal for samples that are byte for byte the same; cheaper than reading the pixels."""
        ...


class SourceOfSounds(Protocol):
    """A source whose exported networks take something else than what networks take."""

    def raw(self, index: int) -> npt.NDArray[np.float32]:
        """(1, 1, samples): the waveform of a sample."""
        ...


@dataclass(frozen=True)
class DataRequest:
    """What the user asks for.

    spec: the name of a data set, or a path.
    root: the data home.
    download: whether a named set may be fetched.
    labels_csv: the labels of the images in the path.
    task: what is learned.
    label_columns: of the CSV; empty for those that the task looks for.
    group_column: of the CSV, whose samples of one value lie in one split.
    report_by: columns of the CSV by whose values results are told apart.
    window, hop: samples of a window that recordings are cut into, and from one window to the next;
        window also the symbols of a piece of text.
    tokens: what the symbols of a text are.
    clip_seconds: length of sounds; None for what suits them.
    """

    spec: str
    root: Path
    download: bool = False
    labels_csv: Path | None = None
    task: Task = CLASSIFICATION
    label_columns: tuple[str, ...] = ()
    group_column: str | None = None
    report_by: tuple[str, ...] = ()
    window: int | None = None
    hop: int | None = None
    tokens: str | None = None
    clip_seconds: float | None = None

    def __post_init__(self) -> None:
        for option, value, least, most in (
            ("--window", self.window, SIZES[WINDOW.dims][0], SIZES[WINDOW.dims][-1]),
            ("--hop", self.hop, 1, 10_000_000),
            ("--clip-seconds", self.clip_seconds, 0.2, 60),
        ):
            if value is not None and not least <= value <= most:
                raise UsageError(f"{option} is {value}; allowed: {least:,} to {most:,}")


def data_request(
    spec: str,
    *,
    root: Path,
    download: bool = False,
    labels_csv: str | Path | None = None,
    task: str | None = None,
    label_columns: Sequence[str] = (),
    group_column: str | None = None,
    report_by: Sequence[str] = (),
    window: int | None = None,
    hop: int | None = None,
    tokens: str | None = None,
    clip_seconds: float | None = None,
) -> DataRequest:
    """The request of values as options and JSON have them."""
    return DataRequest(
        spec=spec,
        root=root,
        download=download,
        labels_csv=None if labels_csv is None else Path(labels_csv),
        task=task_named(task),
        label_columns=tuple(label_columns),
        group_column=group_column,
        report_by=tuple(report_by),
        window=window,
        hop=hop,
        tokens=tokens,
        clip_seconds=clip_seconds,
    )


Opener = Callable[[DataRequest], DataSource]
NAMED: Registry[Opener] = Registry("data set")


def known_sources() -> tuple[str, ...]:
    """Names of the data sets that need no path."""
    return tuple(sorted(NAMED))


def unknown_source(spec: str) -> UsageError:
    """The answer to a `spec` that is neither a known name nor an existing path."""
    return UsageError(NAMES["data"].fault(spec) or f"data {spec!r} cannot be read")


@dataclass(frozen=True, eq=False)
class Subset:
    """Some samples of another source: what `limit` leaves, or what can be read."""

    whole: DataSource
    chosen: npt.NDArray[np.int64]  # (k,) ascending
    listing: Listing

    @classmethod
    def of(cls, whole: DataSource, chosen: npt.NDArray[np.int64], why: str, note: str) -> Subset:
        """Those samples. why: what tells this subset from others of the same size, for the cache."""
        listing = whole.listing
        few = replace(
            listing,
            names=tuple(listing.names[index] for index in chosen),
            labels=listing.labels[chosen],
            groups=None if listing.groups is None else listing.groups[chosen],
            columns=tuple(column.at(chosen) for column in listing.columns),
            given=listing.given[chosen],
            sizes_bytes=listing.sizes_bytes[chosen],
            content=listing.content and f"{listing.content} {why}",
            notes=(*listing.notes, note),
        )
        return cls(whole, chosen, few)

    def natural_size(self) -> int:
        """That of the whole."""
        return self.whole.natural_size()

    def read(self, index: int, image_size: int) -> SampleArray:
        """The sample, read from the whole."""
        return self.whole.read(int(self.chosen[index]), image_size)

    def raw(self, index: int) -> npt.NDArray[np.float32]:
        """The waveform, read from the whole."""
        return cast(SourceOfSounds, self.whole).raw(int(self.chosen[index]))

    def content_key(self, index: int) -> bytes:
        """The key of the whole."""
        return self.whole.content_key(int(self.chosen[index]))
