"""Batch norms whose statistics are those of the whole batch, of which each process has a share.

`torch.nn.SyncBatchNorm` does so on GPUs only. This one sums up by `torch.distributed` with any backend, and
its gradient too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from .ranks import SMALL_SHARE, Ranks


class _SyncedBatchNorm2d(nn.BatchNorm2d):
    """A `BatchNorm2d` that was turned into this one keeps its weights, its statistics and their names."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), of this process. Mean and variance are over the samples of all."""
        if not self.training:
            return super().forward(x)
        dtype = x.dtype
        x = x.float() if dtype in (torch.float16, torch.bfloat16) else x  # their sums are not exact enough
        n = _total(x.new_tensor(float(x.numel() // x.shape[1])))
        mean = _total(x.sum((0, 2, 3))) / n
        centred = x - mean[:, None, None]
        variance = _total(centred.square().sum((0, 2, 3))) / n
        self._remember(mean.detach(), variance.detach() * n / (n - 1))
        x = centred * (variance + self.eps).rsqrt()[:, None, None]
        x = x if self.weight is None else x * self.weight[:, None, None] + self.bias[:, None, None]
        return x.to(dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """The running statistics, as torch keeps them: of the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Total(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Total.apply(x)
    return total


def _summed(x: Tensor) -> Tensor:
    total = x.contiguous().clone()
    torch.distributed.all_reduce(total)
    return total


@contextmanager
def synced_norms(module: nn.Module, ranks: Ranks, share: int) -> Iterator[None]:
    """The batch norms of `module` are of all processes inside the block, where a share is small.

    share: samples of this process in a batch.
    """
    norms = [part for part in module.modules() if type(part) is nn.BatchNorm2d]
    if ranks.world == 1 or share >= SMALL_SHARE:
        yield
        return
    for norm in norms:
        norm.__class__ = _SyncedBatchNorm2d
    try:
        yield
    finally:
        for norm in norms:
            norm.__class__ = nn.BatchNorm2d
