"""NASWOT: how differently an untrained network treats the images of a batch.

J. Mellor, J. Turner, A. Storkey, E. J. Crowley. Neural Architecture Search without Training. ICML 2021.
Their code hooks ReLU alone, and knows nothing of a network without one; here the input of every activation
counts.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.core.arrays import Array

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.LeakyReLU)


def naswot(module: nn.Module, images: Tensor) -> float:
    """Log |det K| of the kernel of equal signs of pre-activations; -inf where two images are treated alike.

    images: (b, c, h, w), all different. K[i, j] counts the units whose input has the same sign for i and j.
    """
    net = copy.deepcopy(module).train()  # norms by the batch: fresh networks have no statistics
    kernel = np.zeros((len(images), len(images)))

    def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal kernel
        kernel = kernel + equal_signs(inputs[0])

    hooks: list[Any] = [
        part.register_forward_pre_hook(add) for part in net.modules() if isinstance(part, ACTIVATIONS)
    ]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):  # dropout draws
        net(images)
    for hook in hooks:
        hook.remove()
    sign, log_det = np.linalg.slogdet(kernel)
    return float(log_det) if sign > 0 else float("-inf")


def equal_signs(values: Tensor) -> Array:
    """How many of the units of two images have the same sign: (b, …) -> (b, b)."""
    on = (values.flatten(1) > 0).to(torch.float64).numpy()
    both: Array = on @ on.T + (1 - on) @ (1 - on).T
    return both
