"""Batch norms whose statistics are those of the whole batch, of which each process has a share.

`torch.nn.SyncBatchNorm` does so on GPUs only, and knows no shared weights. This one sums up by
`torch.distributed` with any backend, and its gradient too.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .ranks import SMALL_SHARE, Ranks


class _SyncedNorms(TorchFunctionMode):
    """Inside it `F.batch_norm`, by which every batch norm trains, is of the samples of all processes."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func is F.batch_norm and named.get("training"):
            return _batch_norm(*args, **named)
        return func(*args, **named)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` of x (b, c, h, w), of this process, that trains.

    Running statistics are of the unbiased variance, as torch keeps them.
    """
    dtype, shape = x.dtype, (-1, *[1] * (x.ndim - 2))
    axes = [i for i in range(x.ndim) if i != 1]
    x = x.float() if dtype in (torch.float16, torch.bfloat16) else x  # their sums are not exact enough
    n = _total(x.new_tensor(float(x.numel() // x.shape[1])))
    mean = _total(x.sum(axes)) / n
    centred = x - mean.view(shape)
    variance = _total(centred.square().sum(axes)) / n
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.detach(), momentum)
        running_var.lerp_(variance.detach() * n / (n - 1), momentum)
    x = centred * (variance + eps).rsqrt().view(shape)
    x = x if weight is None else x * weight.view(shape)
    x = x if bias is None else x + bias.view(shape)
    return x.to(dtype)


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


def synced_norms(ranks: Ranks, share: int) -> AbstractContextManager[object]:
    """Batch norms that train inside the block are of all processes, where a share is small.

    share: samples of this process in a batch.
    """
    return nullcontext() if ranks.world == 1 or share >= SMALL_SHARE else _SyncedNorms()
