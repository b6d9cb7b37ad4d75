"""ZiCo: gradients that are large and agree from batch to batch.

G. Li, Y. Yang, K. Bhardwaj, R. Marculescu. ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on
Gradients. ICLR 2023.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hwnas.tasks import CLASSIFICATION, Task
from targets.errors import UsageError

_FEWEST = 3
"""Batches: of two, a deviation is one difference."""


def zico(module: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], task: Task = CLASSIFICATION) -> float:
    """Σ over layers of log Σ over weights of mean|g| / std(g), over the batches of (images, labels).

    Layers are convolutions and linear ones. A weight whose gradient is the same in all batches says nothing
    and is left out, and so is a layer of such weights alone.
    """
    if len(batches) < _FEWEST:
        raise UsageError(f"ZiCo needs at least {_FEWEST} batches, got {len(batches)}")
    net = copy.deepcopy(module).train()
    weights = [part.weight for part in net.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    gradients: list[list[Tensor]] = []
    with torch.random.fork_rng(devices=[]):  # dropout draws
        for images, labels in batches:
            net.zero_grad(set_to_none=True)
            task.loss(net(images), labels).backward()  # type: ignore[no-untyped-call]  # torch annotates no argument of it
            gradients.append([torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights])
    return sum(filter(None, (_layer(torch.stack(of_layer)) for of_layer in zip(*gradients, strict=True))))


def _layer(gradients: Tensor) -> float | None:
    """(batches, …) gradients of one layer; None where none of them varies."""
    deviation = gradients.std(dim=0, unbiased=False).double()
    varies = deviation > 0
    if not bool(varies.any()):
        return None
    size = gradients.abs().mean(dim=0).double()
    return float((size[varies] / deviation[varies]).sum().log())
