"""From architectures to metrics: the accuracy that the shared weights give, and the costs.

The evaluator of a discrete search. It decides nothing and stores nothing but a cache; it sees the
training split (statistics) and the validation split (accuracy), never the test split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hwnas.front.objectives import Failed, Metrics
from targets.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.data import Data

Batch = tuple[Tensor, Tensor]
"""Normalised images (b, c, h, w) and labels (b,)."""


class Evaluator(Protocol):
    """Metrics of architectures; what cannot be evaluated is answered by `Failed`, never left out."""

    def __call__(self, archs: Sequence[Arch]) -> list[Metrics | Failed]:
        """One answer per architecture, in order; the same architecture gets the same answer."""
        ...


class Weights(Protocol):
    """Where the networks come from: a supernet."""

    def extract(self, arch: Arch) -> nn.Module:
        """The deployed network of `arch` with a copy of the shared weights."""
        ...


class Costs(Protocol):
    """Where the costs come from: a `CostModel`."""

    @property
    def space(self) -> Space:
        """What the architectures belong to."""
        ...

    def of(self, archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        """Per metric the costs of all architectures (n,)."""
        ...


class Advance(Protocol):
    """The part of a progress bar that an evaluator needs."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """`n` more architectures are evaluated."""
        ...


class SharedWeights:
    """`val_accuracy` and `val_loss` with the weights of a supernet, and every metric of the costs.

    The normalisation statistics of each network are measured anew on the calibration batches (those
    of a supernet belong to no single network: Yu & Huang 2019, section 3.3), in the order given, so
    the result depends on nothing but weights, batches and architecture.
    """

    def __init__(
        self,
        weights: Weights,
        costs: Costs,
        *,
        calibration: Iterable[Batch],
        validation: Iterable[Batch],
        progress: Advance | None = None,
    ) -> None:
        self._weights, self._costs, self._progress = weights, costs, progress
        self._calibration = [x for x, _ in calibration]
        self._validation = list(validation)
        if not self._calibration or not self._validation:
            raise UsageError("the evaluator needs at least one batch to calibrate and one to validate")
        self._known: dict[str, Metrics | Failed] = {}

    @classmethod
    def on(
        cls,
        data: Data,
        weights: Weights,
        costs: Costs,
        *,
        seed: int,
        calibration_images: int = 256,
        validation_images: int = 1024,
        device: str | torch.device = "cpu",
        progress: Advance | None = None,
    ) -> SharedWeights:
        """The evaluator on a data set: images without augmentation, the same ones for every network.

        They stay in memory: 4 bytes per channel and pixel.
        """
        from hwnas.data import Batches, eval_batches

        # 256 images of 32 px are the fastest; larger images get batches of as many bytes.
        batch_size = max(8, 256 * 32**2 // data.image_size**2)

        train = Batches(data, "train", min(64, calibration_images), seed, device=device)
        return cls(
            weights,
            costs,
            calibration=[train.at(step) for step in range(-(-calibration_images // train.batch_size))],
            validation=eval_batches(data, "val", batch_size, validation_images, device),
            progress=progress,
        )

    def __call__(self, archs: Sequence[Arch]) -> list[Metrics | Failed]:
        """Metrics per architecture, in order; each distinct one is evaluated once, failed ones too."""
        space = self._costs.space
        keys = [space.key(arch) for arch in archs]
        new = {key: arch for key, arch in zip(keys, archs, strict=True) if key not in self._known}
        costs = self._costs.of([space.canonical(arch) for arch in new.values()]) if new else {}
        for i, (key, arch) in enumerate(new.items()):
            own = {metric: float(values[i]) for metric, values in costs.items()}
            self._known[key] = self._evaluate(space.canonical(arch), own)
            if self._progress:
                self._progress.advance()
        return [self._known[key] for key in keys]

    def _evaluate(self, arch: Arch, costs: Mapping[str, float]) -> Metrics | Failed:
        if not self._costs.space.reads_image(arch):
            return Failed("the image does not reach the classifier")
        try:
            net = self._weights.extract(arch)
            recalibrate(net, self._calibration)
            fold_norms(net)
            accuracy, loss = measure(net, self._validation)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return Failed(f"out of memory: {str(error).splitlines()[0]}")
        return {"val_accuracy": accuracy, "val_loss": loss, **costs}


@torch.inference_mode()
def recalibrate(net: nn.Module, images: Sequence[Tensor]) -> None:
    """Replace the statistics of all batch norms by the mean over `images`, batches (b, c, h, w).

    Cumulative: with momentum None torch weighs each batch alike. Everything else is in evaluation
    mode, and the network is left in it.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for x in images:
        net(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def fold_norms(net: nn.Module) -> None:
    """Write each batch norm that follows a convolution in an `nn.Sequential` into that convolution.

    For networks that will only be evaluated: the same function, a quarter faster on a CPU.
    """
    net.eval()
    for parent in net.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for i, (conv, norm) in enumerate(itertools.pairwise(list(parent))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent[i], parent[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()


@torch.inference_mode()
def measure(net: nn.Module, batches: Iterable[Batch]) -> tuple[float, float]:
    """Accuracy (0..1) and mean cross-entropy of `net`, in evaluation mode, over all batches."""
    net.eval()
    n_right, loss, n = 0, 0.0, 0
    for x, y in batches:
        logits = net(x)
        n_right += int((logits.argmax(1) == y).sum())
        loss += float(F.cross_entropy(logits, y, reduction="sum"))
        n += len(y)
    return n_right / n, loss / n


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on the CPU only the message of its allocator says so."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
