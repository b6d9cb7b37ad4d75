"""What every data source offers, and the registry of those that have a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwnas.core.names import NAMES
from hwnas.core.registry import Registry
from targets.errors import UsageError
from targets.files import sha256

SPLITS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
DROPPED = -1


@dataclass(frozen=True, eq=False)
class Listing:
    """The n samples of a source in a fixed order, before any pixel is read.

    name: of the data set.
    class_names: in the order of their numbers.
    in_channels: 1 for grey, 3 for colour.
    flip: whether a mirrored image is still one of its class.
    names: of the samples, unique.
    labels: (n,) int64, an index into class_names.
    given: (n,) int8, an index into SPLITS: where the owner of the data put the sample, else train.
    sizes_bytes: (n,) int64.
    notes: what the user is told about the data.
    content: identifies the pixels, for the cache; None where they are cheap to read again.
    centred: of images that cannot be mirrored, whether the subject fills them, as characters do.
    """

    name: str
    class_names: tuple[str, ...]
    in_channels: int
    flip: bool
    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    given: npt.NDArray[np.int8]
    sizes_bytes: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    content: str | None = None
    centred: bool = True

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            names = ", ".join(self.class_names) or "none"
            raise UsageError(
                f"{self.name}: at least 2 classes are needed, found {len(self.class_names)} ({names}); "
                f"give one folder (or label) per class, each with images"
            )
        trained = set(self.labels[self.given == TRAIN].tolist())
        lacking = [name for label, name in enumerate(self.class_names) if label not in trained]
        if lacking:
            raise UsageError(
                f"{self.name}: no training image for class {', '.join(lacking[:5])} ({len(lacking)} of "
                f"{len(self.class_names)}); every class of val and test must be in train"
            )

    def digest(self) -> str:
        """SHA-256 of names, labels and sizes: equal when the list of files is the same."""
        rows = zip(self.names, self.labels, self.given, self.sizes_bytes, strict=True)
        text = "\n".join(f"{name}\t{label}\t{given}\t{size}" for name, label, given, size in rows)
        return sha256("\n".join((*self.class_names, "", text)).encode("utf-8", "surrogateescape"))


class DataSource(Protocol):
    """Labelled images that can be read one at a time, in any order."""

    @property
    def listing(self) -> Listing:
        """The samples."""
        ...

    def natural_size(self) -> int:
        """The image size in pixels that suits the data, a multiple of 16 within 16..224."""
        ...

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """One image as (c, image_size, image_size); DamagedFileError naming the file when it is broken."""
        ...

    def content_key(self, index: int) -> bytes:
        """Equal for samples that are byte for byte the same; cheaper than reading the pixels."""
        ...


@dataclass(frozen=True)
class DataRequest:
    """What the user asks for.

    spec: the name of a data set, or a path.
    root: the data home.
    download: whether a named set may be fetched.
    labels_csv: the labels of the images in the path.
    """

    spec: str
    root: Path
    download: bool = False
    labels_csv: Path | None = None


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
            given=listing.given[chosen],
            sizes_bytes=listing.sizes_bytes[chosen],
            content=listing.content and f"{listing.content} {why}",
            notes=(*listing.notes, note),
        )
        return cls(whole, chosen, few)

    def natural_size(self) -> int:
        """That of the whole."""
        return self.whole.natural_size()

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """The image, read from the whole."""
        return self.whole.read(int(self.chosen[index]), image_size)

    def content_key(self, index: int) -> bytes:
        """The key of the whole."""
        return self.whole.content_key(int(self.chosen[index]))
