"""CIFAR-10, CIFAR-100, MNIST and FashionMNIST as torchvision reads and, when asked, downloads them."""

from __future__ import annotations

import contextlib
import pickle
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from targets.errors import DamagedFileError, HwnasError, UsageError

from .arrays import ArraySource
from .source import NAMED, TEST, TRAIN, DataRequest, DataSource, Listing

# What torchvision raises on absent, damaged or unreachable files (truncated idx files: four different types).
_LOADER_ERRORS = (
    RuntimeError,
    OSError,
    ValueError,
    AssertionError,
    EOFError,
    KeyError,
    TypeError,
    pickle.UnpicklingError,
)
_TIMEOUT_S = 30  # torchvision sets none: a dead network would hang for ever


@dataclass(frozen=True)
class _Set:
    """A named data set of torchvision.

    loader: its class in torchvision.datasets.
    flip: whether a mirrored image is still one of its class.
    wants: what must lie in the folder.
    """

    name: str
    loader: str
    in_channels: int
    flip: bool
    wants: str


_SETS = (
    _Set(
        name="cifar10",
        loader="CIFAR10",
        in_channels=3,
        flip=True,
        wants="cifar-10-batches-py/ (from cifar-10-python.tar.gz)",
    ),
    _Set(
        name="cifar100",
        loader="CIFAR100",
        in_channels=3,
        flip=True,
        wants="cifar-100-python/ (from cifar-100-python.tar.gz)",
    ),
    _Set(
        name="mnist",
        loader="MNIST",
        in_channels=1,
        flip=False,
        wants="MNIST/raw/ (the four *-ubyte files)",
    ),
    _Set(
        name="fashion-mnist",
        loader="FashionMNIST",
        in_channels=1,
        flip=True,
        wants="FashionMNIST/raw/ (the four *-ubyte files)",
    ),
)


def _register(kind: _Set) -> None:
    @NAMED.add(kind.name)
    def open_set(request: DataRequest) -> DataSource:
        return _open(kind, request.root / "datasets", request.download)


for _kind in _SETS:
    _register(_kind)


def _open(kind: _Set, folder: Path, download: bool) -> DataSource:
    from torchvision import datasets

    loader = getattr(datasets, kind.loader)
    parts = []
    for train in (True, False):
        try:
            with contextlib.redirect_stdout(sys.stderr), _network_timeout():
                parts.append(loader(folder, train=train, download=download))
        except _LOADER_ERRORS as error:
            raise _explained(error, kind, folder, download) from None
    pixels = np.concatenate([np.asarray(part.data, np.uint8) for part in parts])
    labels = np.concatenate([np.asarray(part.targets, np.int64) for part in parts])
    counts = [len(part.data) for part in parts]
    if len(pixels) != len(labels):
        raise DamagedFileError(
            f"data {kind.name}: {len(pixels)} images, {len(labels)} labels in {folder}; fetch the files again"
        )
    listing = Listing(
        name=kind.name,
        class_names=tuple(parts[0].classes),
        in_channels=kind.in_channels,
        flip=kind.flip,
        names=tuple(
            f"{split}/{i:05d}" for split, n in zip(("train", "test"), counts, strict=True) for i in range(n)
        ),
        labels=labels,
        given=np.repeat(np.array([TRAIN, TEST], np.int8), counts),
        sizes_bytes=np.full(len(labels), pixels[0].size, np.int64),
    )
    return ArraySource(listing, pixels, size_px=32)


@contextlib.contextmanager
def _network_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _explained(error: Exception, kind: _Set, folder: Path, download: bool) -> HwnasError:
    """Absent or out of reach: a UsageError; there but unreadable: a DamagedFileError."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    place = f"{folder} must hold {kind.wants}"
    if isinstance(error, OSError) or "not found" in text or "ownload" in text:
        cause = "the download failed" if download else "not there, and no download was asked for"
        return UsageError(
            f"data {kind.name}: {cause} ({text}); {place}: put it there by hand, or allow the download "
            f"with a working network"
        )
    return DamagedFileError(f"data {kind.name}: the files are damaged ({text}); {place}: fetch them again")
