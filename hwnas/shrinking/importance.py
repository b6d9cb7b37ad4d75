"""How much the loss needs each channel: Taylor's first term of a gate that multiplies it where it is read.

Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, arXiv 1906.10771: the importance of a
channel is the square of (gate × gradient of the loss by the gate), mean of batches. A gate of 1 in front of
the weights that read a channel has the gradient sum(weight × gradient of the weight) over those weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .coupling import ChannelGroup

Loss = Callable[[Tensor, Tensor], Tensor]


def importance(
    module: nn.Module,
    groups: Sequence[ChannelGroup],
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """By group, the importance of each channel; (size,). Norms keep their statistics; nothing is trained."""
    parameters = dict(module.named_parameters())
    read = sorted({name for group in groups for name, _ in group.readers} & parameters.keys())
    sums = {group.name: np.zeros(group.size) for group in groups}
    was_training = [(part, part.training) for part in module.modules()]
    module.eval()
    n = 0
    try:
        for x, y in batches:
            value = loss(module(x), y)
            gradients = torch.autograd.grad(value, [parameters[name] for name in read])
            products = {
                name: (parameters[name].detach() * gradient)
                for name, gradient in zip(read, gradients, strict=True)
            }
            for group in groups:
                sums[group.name] += _gate_gradients(group, products) ** 2
            n += 1
            on_batch()
    finally:
        for part, training in was_training:
            part.training = training
    return {name: total / max(1, n) for name, total in sums.items()}


def _gate_gradients(group: ChannelGroup, products: dict[str, Tensor]) -> NDArray[np.float64]:
    """(size,) of the loss by a gate on each channel of the group."""
    total = np.zeros(group.size)
    for axis in group.readers:
        product = products.get(axis[0])
        if product is not None:
            others = [i for i in range(product.ndim) if i != axis[1]]
            by_index = (product.sum(others) if others else product).double().cpu().numpy()
            total += by_index[group.places[axis]].sum(axis=1)
    return total


def least_important(scores: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """The `n` channels that go first; of equal ones the later."""
    order = np.lexsort((-np.arange(len(scores)), scores))
    return np.sort(order[:n]).astype(np.int64)
