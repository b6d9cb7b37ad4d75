"""The features that the trees read, by name: a class per group, whose fields are the names in their order.

A stored predictor holds these names; another order or another name makes it unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class ConvFeatures(NamedTuple):
    """Of a convolution. Sizes in pixels, channels as numbers; flags are 0 or 1."""

    blocked: float
    channels_last: float
    bytes_each: float
    transposed: float
    batch: float
    c_in: float
    c_out: float
    groups: float
    group_in: float
    group_out: float
    kernel_h: float
    kernel_w: float
    stride: float
    dilation: float
    h_out: float
    w_out: float
    pixels_out: float
    w_in: float
    in_rest_16: float
    out_rest_16: float
    w_rest_6: float
    has_sum: float
    activation: float
    depthwise: float
    padded: float


class MatmulFeatures(NamedTuple):
    """Of a matrix product (m, k) x (k, n), `batch` times."""

    bytes_each: float
    batch: float
    m: float
    n: float
    k: float
    b_is_weight: float
    trans_a: float
    trans_b: float
    op: float
    activation: float
    log_m: float
    log_n: float
    log_k: float
    n_rest_16: float
    m_rest_6: float


class MemoryFeatures(NamedTuple):
    """Of a kernel that moves data or computes element by element."""

    kind: float
    bytes_each: float
    rank: float
    n_inputs: float
    n_outputs: float
    inner: float
    axis_size: float
    axis_inner: float
    unit: float
    broadcast: float
    log_elements: float
    pool_area: float
    stride: float
    rows: float
    last_in: float
    last_in_two: float
    last_out_two: float
    log_crowding: float


class SizeFeatures(NamedTuple):
    """Of any kernel: logarithms of its work, its traffic in bytes, and their ratios."""

    log_macs: float
    log_read: float
    log_write: float
    log_weight: float
    log_intensity: float
    log_units: float
    log_padding: float
    log_scratch: float


class ContextFeatures(NamedTuple):
    """Of the network around a kernel, logarithms of bytes.

    log_net_weights, log_net_bytes: all weights, all traffic.
    log_net_largest: the activations of the kernel with the largest.
    log_since_written: what passed through the caches since the kernel's first input was written.
    log_previous: the traffic of the kernel before.
    log_kinds: how many kinds of kernels the network has: their code shares the caches too.
    log_since_kind: kernels of other kinds that ran since the last of the same kind.
    log_twins: kernels of the same kind and size in the network.
    """

    log_net_weights: float
    log_net_bytes: float
    log_net_largest: float
    log_since_written: float
    log_previous: float
    log_kinds: float
    log_since_kind: float
    log_twins: float


FamilyFeatures = ConvFeatures | MatmulFeatures | MemoryFeatures

NAMES: Mapping[str, tuple[str, ...]] = {
    family: (*features._fields, *SizeFeatures._fields, *ContextFeatures._fields)
    for family, features in (("conv", ConvFeatures), ("matmul", MatmulFeatures), ("memory", MemoryFeatures))
}
"""The features of each family, in the order of `KernelFeatures.values`."""
