"""What a peer is, and the straight line that all of them may get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lut.predictor.kernels.features import Kernel, kernels_of
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.network import Overhead

Described = Mapping[str, Any]
"""A kernel as `profilers.kernels.describe` tells it."""


class Network(Protocol):
    """What a peer may know of a network that it prices: `Labelled` without its times."""

    @property
    def described(self) -> Sequence[Described]: ...
    @property
    def kernels(self) -> Sequence[Kernel]: ...


@dataclass(frozen=True)
class Untimed:
    """A network of which nothing but the kernels is known."""

    described: Sequence[Described]
    kernels: Sequence[Kernel]


def untimed(described: Sequence[Described]) -> Untimed:
    """With the features of its kernels."""
    return Untimed(described, kernels_of(described))


_AS_IT_IS = Overhead(1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Peer:
    """price: network -> (milliseconds of each kernel together, kernels that the peer has no price for).

    line: what turns the sum into a latency.
    """

    price: Callable[[Network], tuple[float, int]]
    line: Overhead = _AS_IT_IS

    def __call__(self, network: Network) -> float:
        """Latency in milliseconds."""
        return self.line.latency_ms(self.price(network)[0], len(network.kernels))

    def unknown(self, network: Network) -> int:
        """How many of its kernels have no price of their own."""
        return self.price(network)[1]


def calibrated(peer: Peer, networks: Sequence[Labelled]) -> Peer:
    """The peer with a straight line behind it: relative least squares of the latencies of the networks."""
    x = np.array([[peer.price(n)[0], len(n.kernels), 1.0] for n in networks])
    truth = np.array([n.latency_ms for n in networks])
    fitted = np.linalg.lstsq(x / truth[:, None], np.ones(len(truth)), rcond=None)[0]
    return Peer(peer.price, Overhead(*(float(v) for v in fitted)))


def prices(price_ms: Callable[[Described], float | None]) -> Callable[[Network], tuple[float, int]]:
    """The sum over kernels priced one by one; None is no price, and adds nothing."""

    def of(network: Network) -> tuple[float, int]:
        found = [price_ms(one) for one in network.described]
        return sum(ms for ms in found if ms is not None), sum(ms is None for ms in found)

    return of
