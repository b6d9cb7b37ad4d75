"""A table of all profiled kernels: each kernel costs what the nearest one of its kind does, by work.

Near: by the logarithms of work, traffic and sizes. The neighbour's time is scaled by the ratio of MACs, of
bytes where there are none. A kind that was never profiled costs its family's median time per byte, and counts
as unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lut.predictor.kernels.features import KernelFeatures
from lut.predictor.kernels.labels import Labelled

from .common import Peer, UntimedNetwork

_SIZES = {
    "conv": ("c_in", "c_out", "groups", "kernel_h", "kernel_w", "stride", "h_out", "w_out"),
    "matmul": ("batch", "m", "n", "k"),
    "memory": ("inner", "axis_size", "axis_inner", "pool_area", "stride", "rows"),
}
_WORK = ("log_macs", "log_read", "log_write", "log_weight")


@dataclass(frozen=True)
class _Rows:
    """places: (n, d). work: MACs or bytes (n,)."""

    places: NDArray[np.float64]
    work: NDArray[np.float64]
    times_ms: NDArray[np.float64]


def fit(networks: Sequence[Labelled]) -> Peer:
    """The table is every kernel of the networks."""
    by_kind: dict[str, list[tuple[KernelFeatures, float]]] = defaultdict(list)
    per_byte: dict[str, list[float]] = defaultdict(list)
    for network in networks:
        for kernel, ms in zip(network.features, network.kernel_ms, strict=True):
            by_kind[kernel.kind].append((kernel, float(ms)))
            per_byte[kernel.family].append(float(ms) / _bytes(kernel))
    table = {kind: _rows(pairs) for kind, pairs in by_kind.items()}
    median = {family: float(np.median(values)) for family, values in per_byte.items()}
    # A family never profiled, as in a job of convolutions only, costs what bytes cost anywhere.
    anywhere = float(np.median([v for values in per_byte.values() for v in values]))

    def estimate(network: UntimedNetwork) -> tuple[float, int]:
        total_ms, unknown = 0.0, 0
        for kernel in network.features:
            if kernel.kind in table:
                total_ms += _nearest_ms(table[kernel.kind], kernel)
            else:
                unknown += 1
                total_ms += median.get(kernel.family, anywhere) * _bytes(kernel)
        return total_ms, unknown

    return Peer(estimate)


def _rows(pairs: Sequence[tuple[KernelFeatures, float]]) -> _Rows:
    return _Rows(
        np.array([_place(kernel) for kernel, _ in pairs]),
        np.array([_work(kernel) for kernel, _ in pairs]),
        np.array([ms for _, ms in pairs]),
    )


def _nearest_ms(rows: _Rows, kernel: KernelFeatures) -> float:
    i = int(np.argmin(((rows.places - _place(kernel)) ** 2).sum(axis=1)))
    return float(rows.times_ms[i] * _work(kernel) / rows.work[i])


def _place(kernel: KernelFeatures) -> list[float]:
    values = kernel.named
    sizes = [float(np.log1p(max(values[name], 0.0))) for name in _SIZES[kernel.family]]
    return sizes + [values[name] for name in _WORK]


def _work(kernel: KernelFeatures) -> float:
    return kernel.macs or _bytes(kernel)


def _bytes(kernel: KernelFeatures) -> float:
    return max(kernel.read_bytes + kernel.write_bytes + kernel.weight_bytes, 1.0)
