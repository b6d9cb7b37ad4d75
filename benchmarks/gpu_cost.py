"""What a function costs on a CUDA device: time, kernel time, launches and peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]  # it comes from torch's C code
from torch.profiler import ProfilerActivity, profile

WARM_UPS = 5
"""Two run as they are, the third is recorded; then the clocks of the device settle."""
_LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCost:
    """Of one call.

    ms: median of the repeats, from synchronisation to synchronisation.
    kernel_ms: in which the device worked.
    kernels: that ran. launches: calls of the driver that started them; a graph is one.
    peak_mib: memory that torch had taken at most.
    """

    ms: float
    kernel_ms: float
    kernels: int
    launches: int
    peak_mib: float

    @property
    def busy(self) -> float:
        """Share of the time in which the device worked."""
        return self.kernel_ms / self.ms


def gpu_cost(runs: Sequence[Callable[[], object]], repeats: int) -> GpuCost:
    """The mean over the runs, after a warm-up; kernels and memory are those of one more call each."""
    for run in runs:
        for _ in range(WARM_UPS):
            run()
    torch.cuda.synchronize()
    times_ms = [statistics.median(_ms(run) for _ in range(repeats)) for run in runs]
    torch.cuda.reset_peak_memory_stats()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for run in runs:
            run()
        torch.cuda.synchronize()
    events = profiler.key_averages()
    kernels = [e for e in events if e.device_type == DeviceType.CUDA]
    n = len(runs)
    return GpuCost(
        ms=statistics.mean(times_ms),
        kernel_ms=sum(e.self_device_time_total for e in kernels) / 1e3 / n,
        kernels=sum(e.count for e in kernels) // n,
        launches=sum(e.count for e in events if e.key.startswith(_LAUNCHES)) // n,
        peak_mib=torch.cuda.max_memory_reserved() / 2**20,
    )


def _ms(run: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - began)
