"""What a kernel is, as numbers: work, traffic and shape, the same for every device.

The *kind* of a kernel is the unit of coverage ("blocked Conv 3x3"). Its *family* decides which features it
has: convolutions, matrix products, and all that only moves data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from profilers.kernels import Kernel
from targets.errors import DamagedFileError

from .feature_names import NAMES, ContextFeatures, SizeFeatures
from .kernel_features import FREE, KernelFeatures, KernelWork, log1
from .moving import moving
from .products import CONVOLUTIONS, PRODUCTS, conv, matmul

__all__ = ["FREE", "NAMES", "KernelFeatures", "features_of"]

_Traffic = tuple[float, float, float]
"""Bytes of activations read, of activations written, of weights."""


def features_of(kernels: Sequence[Kernel]) -> list[KernelFeatures]:
    """The features of a network's kernels, which come in order of execution.

    DamagedFileError where attributes or shapes fit no operator, as a device may report them.
    """
    try:
        features = _features_of(kernels)
        if not all(math.isfinite(value) for f in features for value in f.values):
            raise ValueError("a number that is none")
        return features
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise DamagedFileError(
            f"a kernel has attributes or shapes that do not fit its operator ({error!r}); "
            "profile the network again"
        ) from None


def _features_of(kernels: Sequence[Kernel]) -> list[KernelFeatures]:
    traffic = [_traffic(kernel) for kernel in kernels]
    works = [_work(kernel) for kernel in kernels]
    weights = sum(t[2] for t in traffic)
    total = sum(sum(t) for t in traffic)
    largest = max((t[0] + t[1] for t in traffic), default=0.0)
    kinds = [work.kind for _, work in works]
    gaps = _gaps(kinds)
    shapes = [(work.kind, work.macs, *traffic[i]) for i, (_, work) in enumerate(works)]
    twins = Counter(shapes)
    written: dict[str, int] = {}
    passed = [0.0, *accumulate(map(sum, traffic))]
    features = []
    for i, kernel in enumerate(kernels):
        # Bytes that passed through the caches since the first input was written; all of them for the image.
        reads = [name for name in kernel.reads if name in written]
        since = passed[i] - passed[written[reads[0]] + 1] if reads else total
        context = ContextFeatures(
            log_net_weights=log1(weights),
            log_net_bytes=log1(total),
            log_net_largest=log1(largest),
            log_since_written=log1(since),
            log_previous=log1(sum(traffic[i - 1]) if i else 0.0),
            log_kinds=log1(len(set(kinds))),
            log_since_kind=log1(gaps[i]),
            log_twins=log1(twins[shapes[i]]),
        )
        features.append(_features(works[i], traffic[i], context))
        for name in kernel.writes:
            written[name] = i
    return features


def _gaps(kinds: Sequence[str]) -> list[int]:
    """Kernels of other kinds that ran since the last of the kind, the run before included; (n,)."""
    last = {kind: i - len(kinds) for i, kind in enumerate(kinds)}
    gaps = []
    for i, kind in enumerate(kinds):
        gaps.append(i - last[kind] - 1)
        last[kind] = i
    return gaps


def _traffic(kernel: Kernel) -> _Traffic:
    if kernel.op in FREE:
        return 0.0, 0.0, 0.0
    read = sum(argument.size_bytes for argument in kernel.inputs if argument.role == "activation")
    weight = sum(argument.size_bytes for argument in kernel.inputs if argument.role == "weight")
    return float(read), float(sum(argument.size_bytes for argument in kernel.outputs)), float(weight)


def _work(kernel: Kernel) -> tuple[str, KernelWork]:
    """(the family of a kernel, its work)."""
    family, work = "memory", None
    if kernel.op in CONVOLUTIONS:
        family, work = "conv", conv(kernel)
    elif kernel.op in PRODUCTS:
        family, work = "matmul", matmul(kernel)
    if work is None:  # of a form that its family has no numbers for, as a convolution of five axes
        family, work = "memory", moving(kernel)
    return family, work


def _features(counted: tuple[str, KernelWork], traffic: _Traffic, context: ContextFeatures) -> KernelFeatures:
    family, work = counted
    read_bytes, write_bytes, weight_bytes = traffic
    size = SizeFeatures(
        log_macs=log1(work.macs),
        log_read=log1(read_bytes),
        log_write=log1(write_bytes),
        log_weight=log1(weight_bytes),
        log_intensity=math.log((work.macs + 1) / (sum(traffic) + 1)),
        log_units=log1(work.units),
        log_padding=math.log((work.executed + 1) / (work.macs + 1)),
        log_scratch=log1(work.scratch_bytes),
    )
    return KernelFeatures(
        kind=work.kind,
        family=family,
        macs=work.macs,
        executed=work.executed,
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        weight_bytes=weight_bytes,
        units=work.units,
        scratch_bytes=work.scratch_bytes,
        specific=work.specific,
        size=size,
        context=context,
    )
