"""Forward and backward passes of a supernet under a mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from hwnas.core.mix import Mix
from hwnas.data.batches import Batch
from hwnas.tasks import CLASSIFICATION, Task

from .optim import checked_loss


class BatchSource(Protocol):
    """`data.Batches`: the batch of a step, the same for the same step."""

    def at(self, step: int) -> Batch:
        """The batch of step `step`, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """The result of a pass.

    mix: what ran.
    loss: its task loss, a scalar without gradient.
    accuracy: share of the batch that is answered well, as its task counts it, a scalar.
    """

    mix: Mix
    loss: Tensor
    accuracy: Tensor


def accuracy(outputs: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Share of a batch that is answered well; of classes, whose largest logit is the label."""
    return task.right(outputs.detach(), labels) / len(labels)


def on_device(mix: Mix, device: torch.device) -> Mix:
    """The mix with its probabilities on `device`: one copy of all choices, gradients flow back."""
    if not mix.probs or mix.probs[0].device == device:
        return mix
    edges = None if mix.edge_weights is None else mix.edge_weights.to(device)
    probs = torch.split(torch.cat(mix.probs).to(device), [len(p) for p in mix.probs])
    return replace(mix, probs=tuple(probs), edge_weights=edges)


def use_bf16(supernet: nn.Module) -> None:
    """From now on `run_mix` runs it under autocast to bfloat16; the loss stays in the type of the images."""
    cast(Any, supernet).bf16 = True


def run_mix(supernet: nn.Module, mix: Mix, x: Tensor, tensors: Mapping[str, Tensor] | None = None) -> Tensor:
    """Outputs of the supernet under `mix`, which may live on another device.

    tensors: replace the supernet's parameters and buffers of these names.
    """
    mix = on_device(mix, x.device)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=getattr(supernet, "bf16", False)):
        outputs: Tensor = functional_call(supernet, dict(tensors), (x, mix)) if tensors else supernet(x, mix)
    return outputs.to(x.dtype) if x.is_floating_point() else outputs.float()  # of texts x holds integers


def weight_pass(
    supernet: nn.Module,
    mixes: Sequence[Mix],
    batch: Batch,
    label_smoothing: float,
    where: str | None,
    label_weight: float = 0.0,
    task: Task = CLASSIFICATION,
) -> Pass:
    """Add the weight gradients of all mixes on one batch; returns the pass of the first.

    The first mix learns from the labels. The others learn from the softmax of its logits (in-place
    distillation; BigNAS, 2003.11142, section 3.1), and from the labels with weight `label_weight`. Of tasks
    whose answers teach nobody (`Task.mixes`) all learn from the labels.

    where: as of `checked_loss`.
    """
    x, y = batch
    outputs = run_mix(supernet, mixes[0], x)
    loss = task.loss(outputs, y, label_smoothing)
    first = Pass(mixes[0], checked_loss(loss, where), accuracy(outputs, y, task))
    loss.backward()  # type: ignore[no-untyped-call]  # torch annotates no argument of it
    targets = F.softmax(outputs.detach(), dim=1) if task.mixes and len(mixes) > 1 else None
    for mix in mixes[1:]:
        outputs = run_mix(supernet, mix, x)
        if targets is None:
            loss = task.loss(outputs, y, label_smoothing)
        else:
            loss = F.cross_entropy(outputs, targets)
            if label_weight:
                loss = loss + label_weight * task.loss(outputs, y, label_smoothing)
        checked_loss(loss, where)
        loss.backward()  # type: ignore[no-untyped-call]  # torch annotates no argument of it
    return first


@torch.no_grad()
def validation_pass(supernet: nn.Module, mix: Mix, batch: Batch, task: Task = CLASSIFICATION) -> Pass:
    """Loss and accuracy of a mix on one batch, with the statistics of that batch."""
    x, y = batch
    outputs = run_mix(supernet, mix, x)
    return Pass(mix, task.loss(outputs, y), accuracy(outputs, y, task))
