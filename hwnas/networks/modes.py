"""What is done to any module without changing it: evaluate it, find its device, read out its state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors.torch import save
from torch import Tensor, nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """`module` in eval mode and without gradients inside the block; each flag as it was afterwards.

    `module.train(was_training)` would be shorter, but turns layers that are frozen on purpose back on.
    """
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in flags:
            part.training = training


def device_of(module: nn.Module) -> torch.device:
    """The device of the first parameter or buffer; the CPU for a module without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The state of `module` as it can be stored: on the CPU, each tensor with memory of its own."""
    return {k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}


def safetensors_bytes(module: nn.Module) -> bytes:
    """The state of `module`; tensors that share memory are stored each on its own."""
    return save(state_of(module))
