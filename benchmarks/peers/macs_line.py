"""Latency as a straight line in multiply-accumulates: what a search without a device goes by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lut.predictor.kernels.labels import Labelled
from lut.tables.calibrate import fit_macs

from .common import Peer, UntimedNetwork


def fit(networks: Sequence[Labelled]) -> Peer:
    """Relative least squares over the networks."""
    a_ms, b_ms = fit_macs(np.array([_macs(n) for n in networks]), np.array([n.latency_ms for n in networks]))
    return Peer(lambda network: (a_ms + b_ms * _macs(network), 0))


def _macs(network: UntimedNetwork) -> float:
    return float(sum(kernel.macs for kernel in network.features))
