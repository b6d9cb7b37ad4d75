"""The evaluator by shared weights: accuracy with the weights of a supernet, and the costs.

It reads the training split for statistics and the validation split for accuracy, and never the test
split. It keeps what it evaluated in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hwnas.tasks import CLASSIFICATION, Task
from hwnas.training.rounding import rounded
from hwnas.training.train import scores
from targets import Int8Form
from targets.errors import UsageError

from . import EvaluationFailed, Metrics

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.costs.cost_model import CostModel
    from hwnas.data import Data
    from hwnas.data.batches import Batch
    from hwnas.supernets import Supernet


class SharedWeights:
    """`val_accuracy`, `val_loss`, of classes `val_top5_accuracy` by a supernet, and all metrics of the costs.

    The statistics of a supernet's norms belong to no single network (Yu & Huang 2019, section 3.3).
    They are measured anew for each network, on the calibration batches in the order given. So the
    metrics depend on the weights, the batches and the architecture alone.

    calibration, validation: batches of normalised images (b, c, h, w) and labels (b, …).
    task: by whose score `val_accuracy` is.
    form: of 8 bits, to which each network is rounded before it is scored; None for floats.
    """

    def __init__(
        self,
        supernet: Supernet,
        costs: CostModel,
        *,
        calibration: Iterable[Batch],
        validation: Iterable[Batch],
        form: Int8Form | None = None,
        task: Task = CLASSIFICATION,
    ) -> None:
        """Validation: gone through once per architecture; what can be gone through once only is kept."""
        self._supernet, self._costs, self._form, self._task = supernet, costs, form, task
        self._calibration = [x for x, _ in calibration]
        kept = validation if isinstance(validation, Sized) else list(validation)
        self._validation: Iterable[Batch] = kept
        if not self._calibration or not len(kept):
            raise UsageError("the evaluator needs at least one batch to calibrate and one to validate")
        self._known: dict[str, Metrics | EvaluationFailed] = {}

    @classmethod
    def on(
        cls,
        data: Data,
        supernet: Supernet,
        costs: CostModel,
        *,
        seed: int,
        calibration_images: int = 256,
        validation_images: int = 1024,
        device: str | torch.device = "cpu",
        form: Int8Form | None = None,
    ) -> SharedWeights:
        """The evaluator on a data set: the same images for every network, without augmentation.

        The images stay in memory: 1 byte per channel and pixel of a validation image, 4 of a calibration
        image, which is 455 MB for 2,000 and 256 colour images of 224 px.
        """
        from hwnas.data import Batches
        from hwnas.data.batches import EvalBatches

        # 256 images of 32 px are the fastest; larger images get batches of as many bytes.
        batch_size = max(8, 256 * 32**2 // data.area)

        calibration_images = min(calibration_images, len(data.split("train")))  # no image counts twice
        train = Batches(data, "train", min(64, calibration_images), seed, device=device)
        return cls(
            supernet,
            costs,
            calibration=[train.at(step) for step in range(-(-calibration_images // train.batch_size))],
            validation=EvalBatches(data, "val", batch_size, validation_images, device),
            task=data.task,
            form=form,
        )

    def __call__(self, archs: Sequence[Arch]) -> list[Metrics | EvaluationFailed]:
        """Metrics per architecture, in order. Each network is evaluated once, failed ones too."""
        space = self._costs.space
        keys = [space.key(arch) for arch in archs]
        new = {key: arch for key, arch in zip(keys, archs, strict=True) if key not in self._known}
        costs = self._costs.of([space.canonical(arch) for arch in new.values()]) if new else {}
        for i, (key, arch) in enumerate(new.items()):
            costs_of_arch = {metric: float(values[i]) for metric, values in costs.items()}
            self._known[key] = self._evaluate(space.canonical(arch), costs_of_arch)
        return [self._known[key] for key in keys]

    def _evaluate(self, arch: Arch, costs: Mapping[str, float]) -> Metrics | EvaluationFailed:
        if not self._costs.space.reads_image(arch):
            return EvaluationFailed("the image does not reach the classifier")
        try:
            net = self._supernet.extract(arch)
            recalibrate(net, self._calibration)
            fold_norms(net)
            if self._form is not None:
                net = rounded(net, self._calibration, self._form)
            found = measure(net, self._validation, self._task)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return EvaluationFailed(f"out of memory: {str(error).splitlines()[0]}")
        return {**found, **costs}


_OTHERS = {"top5": "val_top5_accuracy"}
"""Further scores that can be an objective, and what objectives call them."""


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


def measure(net: nn.Module, batches: Iterable[Batch], task: Task = CLASSIFICATION) -> dict[str, float]:
    """Score by the task, of classes the top-5 accuracy, and the mean loss of `net` over all batches."""
    score, loss, *others = scores(net, batches, task)
    by_name = dict(zip(task.scores, others, strict=True))
    known = {_OTHERS[name]: value for name, value in by_name.items() if name in _OTHERS}
    return {"val_accuracy": score, "val_loss": loss, **known}


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on the CPU only the message of its allocator says so."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
