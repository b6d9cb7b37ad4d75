"""What a kernel is, as numbers: work, traffic and shape, the same for every device.

A kernel arrives as `profilers.kernels.describe` tells it. Its *kind* is the unit of coverage ("blocked conv
3x3"), its *family* decides which features it has: convolutions, matrix products, and all that only moves
data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from profilers.kernels import argument_bytes

from .kernel import FREE, Kernel, log1
from .moving import MEMORY_NAMES, moving
from .products import CONV_NAMES, CONVOLUTIONS, MATMUL_NAMES, PRODUCTS, conv, matmul

__all__ = ["FREE", "NAMES", "Kernel", "kernels_of"]


def kernels_of(described: Sequence[Mapping[str, Any]]) -> list[Kernel]:
    """The kernels of a network in order of execution, with what lies around them."""
    traffic = [_traffic(one) for one in described]
    weights = sum(t[2] for t in traffic)
    total = sum(sum(t) for t in traffic)
    largest = max((t[0] + t[1] for t in traffic), default=0.0)
    written: dict[str, int] = {}
    passed = [0.0, *accumulate(map(sum, traffic))]
    found = []
    for i, (one, t) in enumerate(zip(described, traffic, strict=True)):
        # Bytes that passed through the caches since the first input was written; all of them for the image.
        reads = [n for n in one.get("reads", ()) if n in written]
        since = passed[i] - passed[written[reads[0]] + 1] if reads else total
        around = (log1(weights), log1(total), log1(largest), log1(since), log1(_previous(traffic, i)))
        found.append(_kernel(one, t, around))
        for name in one.get("writes", ()):
            written[name] = i
    return found


def _previous(traffic: Sequence[tuple[float, float, float]], i: int) -> float:
    return sum(traffic[i - 1]) if i else 0.0


def _traffic(one: Mapping[str, Any]) -> tuple[float, float, float]:
    """(bytes of activations read, written, bytes of weights)."""
    if one["op"] in FREE:
        return 0.0, 0.0, 0.0
    read = sum(argument_bytes(a) for a in one["inputs"] if a[0] == "activation")
    weight = sum(argument_bytes(a) for a in one["inputs"] if a[0] == "weight")
    return float(read), float(sum(argument_bytes(a) for a in one["outputs"])), float(weight)


def _kernel(one: Mapping[str, Any], traffic: tuple[float, float, float], around: tuple[float, ...]) -> Kernel:
    family, found = "memory", None
    if one["op"] in CONVOLUTIONS:
        family, found = "conv", conv(one)
    elif one["op"] in PRODUCTS:
        family, found = "matmul", matmul(one)
    if found is None:  # of a form that its family has no numbers for, as a convolution of five axes
        family, found = "memory", moving(one)
    macs, log_traffic = found.macs, [log1(t) for t in traffic]
    size = (
        *(log1(macs), *log_traffic, math.log((macs + 1) / (sum(traffic) + 1)), log1(found.units)),
        *(math.log((found.executed + 1) / (macs + 1)), log1(found.scratch_bytes)),
    )
    return Kernel(
        *(found.kind, family, macs, found.executed, *traffic, found.units, found.scratch_bytes),
        (*map(float, found.values), *size, *around),
    )


SIZE_NAMES = (
    *("log_macs", "log_read", "log_write", "log_weight", "log_intensity", "log_units", "log_padding"),
    "log_scratch",
)
AROUND_NAMES = ("log_net_weights", "log_net_bytes", "log_net_largest", "log_since_written", "log_previous")

NAMES: Mapping[str, tuple[str, ...]] = {
    "conv": (*CONV_NAMES, *SIZE_NAMES, *AROUND_NAMES),
    "matmul": (*MATMUL_NAMES, *SIZE_NAMES, *AROUND_NAMES),
    "memory": (*MEMORY_NAMES, *SIZE_NAMES, *AROUND_NAMES),
}
"""The features of each family, in the order of `Kernel.values`."""
