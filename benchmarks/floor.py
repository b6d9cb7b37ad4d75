"""The least time of a step: its arithmetic and its memory traffic at the best rates of this machine.

All that runs forward and backward is counted: MACs of convolutions and matrix products, those of depthwise
convolutions separately, and the bytes that all other operations read and write. Each count is divided by the
best rate that torch reaches on a shape that suits it, measured in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

_CONVOLUTION, _BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default
_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default)


@dataclass(slots=True)
class Work:
    """Multiply-accumulates and bytes."""

    dense_macs: float = 0.0
    depthwise_macs: float = 0.0
    moved_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """The best of this machine, per second."""

    dense_macs: float
    depthwise_macs: float
    moved_bytes: float

    def floor_ms(self, work: Work) -> tuple[float, float]:
        """All MACs at the rate of dense convolutions; each kind of work at its own rate."""
        macs = work.dense_macs + work.depthwise_macs
        parts = [getattr(work, kind) / rate for kind, rate in asdict(self).items()]
        return 1e3 * macs / self.dense_macs, 1e3 * sum(parts)


class _Count(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is _CONVOLUTION:
            self._convolution(args[1], out, 1)
        elif func is _BACKWARD:
            self._convolution(args[2], args[0], sum(args[10][:2]))
        elif func in _PRODUCTS:
            self.work.dense_macs += out.numel() * args[-2].shape[-1]
        elif not any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns):
            tensors = [*_tensors(args), *_tensors(out)]
            self.work.moved_bytes += sum(t.numel() * t.element_size() for t in tensors)
        return out

    def _convolution(self, weight: Tensor, out: Tensor, times: int) -> None:
        macs = times * out.numel() * weight[0].numel()
        if weight.shape[1] == 1 and weight[0].numel() > 1:
            self.work.depthwise_macs += macs
        else:
            self.work.dense_macs += macs


def _tensors(values: Any) -> list[Tensor]:
    values = values if isinstance(values, (list, tuple)) else [values]
    return [t for v in values for t in (_tensors(v) if isinstance(v, (list, tuple)) else [v])
            if isinstance(t, Tensor)]  # fmt: skip


def count(step: Callable[[], object]) -> Work:
    """The work of one call, not compiled."""
    with torch.compiler.set_stance("force_eager"), _Count() as counter:
        step()
    return counter.work


def measure_rates(repeats: int = 15) -> Rates:
    """The best rate per kind of work over several shapes, with the present number of threads."""

    def rate(amount: float, run: Callable[[], object]) -> float:
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        return amount / min(times)

    def images(c: int) -> Tensor:
        return torch.randn(16, c, 32, 32).contiguous(memory_format=torch.channels_last)

    with torch.no_grad():
        dense = []
        for n in (256, 512):
            a, b = torch.randn(n, n), torch.randn(n, n)
            dense.append(rate(n**3, partial(torch.matmul, a, b)))
        for c in (64, 128):
            x, weight = images(c), torch.randn(c, c, 3, 3)
            dense.append(rate(x.numel() * 9 * c, partial(F.conv2d, x, weight, None, 1, 1)))
        depthwise = []
        for c in (32, 64):
            x, weight = images(c), torch.randn(c, 1, 3, 3)
            depthwise.append(rate(x.numel() * 9, partial(F.conv2d, x, weight, None, 1, 1, 1, c)))
        moved = []
        for n in (1 << 16, 1 << 18):
            x, y = torch.randn(n), torch.empty(n)
            moved.append(rate(8 * n, partial(torch.clamp_min, x, 0, out=y)))
    return Rates(max(dense), max(depthwise), max(moved))
