"""Batches as a pure function of (seed, step), so that a resumed run sees what an uninterrupted one sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from targets.errors import UsageError

from .dataset import Data, SampleIndices
from .source import SPLITS

Batch = tuple[torch.Tensor, torch.Tensor]
"""Samples (b, c, h, w), normalised, and labels: int64 (b,) of classes, (b, s, s) uint8 of masks,
(b, m, 6) float32 of boxes."""
_ORDER, _CHANGES = range(2)  # independent streams of one seed


class Changes(Protocol):
    """What changes samples at random: `Augment`, `PhotoAugment`, `SignalAugment`."""

    def apply(self, x: torch.Tensor, rng: np.random.Generator, planes: int = 0) -> torch.Tensor:
        """x: (b, c, h, w) as `Data.images` has it; returns the changed batch, uint8 or float.

        planes: the last channels that are labels: they are moved as the others are, and keep their values.
        """


@runtime_checkable
class MovesBoxes(Changes, Protocol):
    """What changes images whose labels are boxes."""

    def moved(
        self, x: torch.Tensor, boxes: npt.NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[torch.Tensor, npt.NDArray[np.float32]]:
        """The changed batch with its boxes (b, m, 6) as they lie in it."""


class Batches:
    """Training batches of one split: every epoch a new permutation, its incomplete last batch left out.

    balanced: an epoch has equally many images of each class, those of small classes several times.
    share: (i, n): every n-th image of each batch, from the i-th on; the n shares make the batch.
    """

    def __init__(
        self,
        data: Data,
        split: str,
        batch_size: int,
        seed: int,
        augment: Changes | None = None,
        device: str | torch.device = "cpu",
        *,
        balanced: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}; allowed: 1 or more")
        self._data = data
        self._indices = data.split(split)
        self._seed = (seed, SPLITS.index(split))
        self._augment, self._balanced = augment, balanced
        self._device = torch.device(device)
        self._normalise = _Normalise(data, self._device)
        self._order: tuple[int, SampleIndices] = (-1, self._indices)  # the permutation of the current epoch
        self.batch_size = min(batch_size, len(self._indices))
        self.steps_per_epoch = len(self._indices) // self.batch_size
        self._share = share
        check_shares(self.batch_size, share[1])

    def at(self, step: int) -> Batch:
        """Batch number `step`, the same whenever it is asked for.

        x: (b, c, s, s) float32 channels_last, normalised; y: (b,) int64.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen = self._permutation(epoch)[place * self.batch_size : (place + 1) * self.batch_size]
        own, shares = self._share
        chosen = chosen[own::shares]
        x = self._data.images(chosen).to(self._device)
        y = torch.from_numpy(self._data.labels[chosen])
        if self._augment is not None:
            rng = self._rng(_CHANGES, step, *([own] if shares > 1 else []))
            x, y = self._changed(self._augment, x, y, rng)
        return self._normalise(x), y.to(self._device)

    def _changed(self, augment: Changes, x: torch.Tensor, y: torch.Tensor, rng: np.random.Generator) -> Batch:
        """Images and labels; boxes move with their images, and masks too, which lie behind their channels."""
        task = self._data.task
        planes = task.planes
        if task.boxes:
            assert isinstance(augment, MovesBoxes)  # signals have no boxes
            x, boxes = augment.moved(x, y.numpy(), rng)
            return x, torch.from_numpy(boxes)
        if not planes:
            return augment.apply(x, rng), y
        y = y.to(self._device)
        both = augment.apply(torch.cat([x, y[:, None]], dim=1), rng, planes)
        return both[:, :-planes], both[:, -planes].to(y.dtype)

    def _permutation(self, epoch: int) -> SampleIndices:
        if self._order[0] != epoch:
            rng = self._rng(_ORDER, epoch)
            indices = self._of_each_class(rng) if self._balanced else self._indices
            self._order = (epoch, rng.permutation(indices))
        return self._order[1]

    def _of_each_class(self, rng: np.random.Generator) -> SampleIndices:
        """As many images as there are, equally many of each class, give or take one."""
        labels = self._data.labels[self._indices]
        present = rng.permutation(np.unique(labels))
        wanted = np.full(len(present), len(labels) // len(present))
        wanted[: len(labels) % len(present)] += 1
        return np.concatenate(
            [
                np.resize(rng.permutation(self._indices[labels == label]), n)
                for label, n in zip(present, wanted, strict=True)
            ]
        )

    def _rng(self, stream: int, *numbers: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([*self._seed, stream, *numbers]))


def check_shares(batch_size: int, shares: int) -> None:
    """UsageError for a batch that so many processes cannot share equally."""
    if batch_size % shares:
        raise UsageError(
            f"a batch of {batch_size} images cannot be shared equally by {shares} processes; give a batch "
            f"size that {shares} divides"
        )


def eval_batches(
    data: Data, split: str, batch_size: int, limit: int | None = None, device: str | torch.device = "cpu"
) -> Iterator[Batch]:
    """All samples of a split in order and unchanged, or `limit` of them spread evenly over it."""
    normalise = _Normalise(data, torch.device(device))
    for chosen in _chosen(data, split, batch_size, limit):
        yield normalise(data.images(chosen).to(device)), torch.from_numpy(data.labels[chosen]).to(device)


def _chosen(data: Data, split: str, batch_size: int, limit: int | None) -> Iterator[SampleIndices]:
    indices = data.split(split)
    if limit is not None and limit < len(indices):
        indices = indices[np.arange(limit) * len(indices) // limit]
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]


def file_batches(data: Data, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
    """The same samples as exported files take them: normalised images, or raw signals."""
    if data.kind.levels is not None:
        yield from eval_batches(data, split, batch_size, limit)
        return
    for chosen in _chosen(data, split, batch_size, limit):
        yield data.inputs(chosen), torch.from_numpy(data.labels[chosen])


class EvalBatches:
    """The batches of `eval_batches`, kept as decoded and normalised anew whenever they are gone through.

    One byte per channel and pixel: 301 MB for 2,000 images of 224 px in colour, a quarter of normalised ones.
    """

    def __init__(
        self, data: Data, split: str, batch_size: int, limit: int, device: str | torch.device = "cpu"
    ) -> None:
        self._device = torch.device(device)
        self._normalise = _Normalise(data, self._device)
        self._parts = [
            (data.images(chosen), torch.from_numpy(data.labels[chosen]).to(self._device))
            for chosen in _chosen(data, split, batch_size, limit)
        ]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        for x, y in self._parts:
            yield self._normalise(x.to(self._device)), y


class _Normalise:
    """(x / 255 - mean) / std as one multiplication and addition; of signals (x - mean) / std; texts stay."""

    def __init__(self, data: Data, device: torch.device) -> None:
        self._idle = not data.mean
        mean, std = (np.array(each).reshape(1, -1, 1, 1) for each in (data.mean, data.std))
        self._scale = torch.from_numpy((1 / (data.kind.top * std)).astype(np.float32)).to(device)
        self._offset = torch.from_numpy((-mean / std).astype(np.float32)).to(device)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self._idle:
            return x
        x = x.to(torch.float32, memory_format=torch.channels_last, copy=True)
        return x.mul_(self._scale).add_(self._offset)
