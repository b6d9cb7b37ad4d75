"""Trainings in 16 bits: layers under autocast, the loss and the weights in 32.

Numbers of fp16 end at 65,504 and lose what is below 6e-8, so that the loss is scaled before the gradients are
made; a step whose gradients overflow is left out, and the scale halved (Micikevicius et al. 2018, Mixed
Precision Training, arXiv 1710.03740). bf16 has the range of 32 bits and needs no scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

OFF = "none"
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""By the word of a recipe."""


class MixedPrecision:
    """How a training computes: `none` in 32 bits, to the bit as without this class; `bf16` or `fp16`."""

    def __init__(self, amp: str, device: torch.device) -> None:
        self._amp, self._device = amp, device
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    def autocast(self) -> AbstractContextManager[object]:
        """For the forward pass of networks."""
        if self._amp == OFF:
            return nullcontext()
        return torch.autocast(self._device.type, TYPES[self._amp])

    def backward(self, loss: Tensor) -> None:
        """The gradients of the scaled loss; those of fp16 may be infinite."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch annotates no argument

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """The gradients of the loss itself, once all processes have added theirs."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The step, unless a gradient is infinite."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """JSON values, empty without a scale."""
        return dict(self._scaler.state_dict())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the scale of `state`."""
        if state:
            self._scaler.load_state_dict(dict(state))
