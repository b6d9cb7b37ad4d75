"""What a peer is, and the straight line that all of them may get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lut.predictor.kernels.features import KernelFeatures, features_of
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.network import Overhead
from profilers.kernels import Argument, Kernel


class UntimedNetwork(Protocol):
    """What a peer may know of a network that it estimates: `Labelled` without its times."""

    @property
    def kernels(self) -> Sequence[Kernel]: ...
    @property
    def features(self) -> Sequence[KernelFeatures]: ...


@dataclass(frozen=True)
class Untimed:
    """A network of which nothing but the kernels is known."""

    kernels: Sequence[Kernel]
    features: Sequence[KernelFeatures]


def untimed(kernels: Sequence[Kernel]) -> Untimed:
    """With the features of its kernels."""
    return Untimed(kernels, features_of(kernels))


def lone_kernel(
    op: str, inputs: Sequence[Argument], outputs: Sequence[Argument], **attributes: Any
) -> Kernel:
    """A kernel of an operator that stands in no network."""
    return Kernel(
        op=op,
        domain="",
        name=op,
        provider="CPUExecutionProvider",
        attributes=attributes,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


_AS_IT_IS = Overhead(1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Peer:
    """A method to estimate latencies.

    estimate: network -> (milliseconds of its kernels together, kernels that the peer has no estimate for).
    line: what turns the sum into a latency.
    """

    estimate: Callable[[UntimedNetwork], tuple[float, int]]
    line: Overhead = _AS_IT_IS

    def __call__(self, network: UntimedNetwork) -> float:
        """Latency in milliseconds."""
        return self.line.latency_ms(self.estimate(network)[0], len(network.kernels))

    def unknown(self, network: UntimedNetwork) -> int:
        """How many of its kernels have no estimate of their own."""
        return self.estimate(network)[1]


def calibrated(peer: Peer, networks: Sequence[Labelled]) -> Peer:
    """The peer with a straight line behind it: relative least squares of the latencies of the networks."""
    x = np.array([[peer.estimate(n)[0], len(n.kernels), 1.0] for n in networks])
    truth = np.array([n.latency_ms for n in networks])
    fitted = np.linalg.lstsq(x / truth[:, None], np.ones(len(truth)), rcond=None)[0]
    return Peer(peer.estimate, Overhead(*(float(v) for v in fitted)))


def summed(latency_ms: Callable[[Kernel], float | None]) -> Callable[[UntimedNetwork], tuple[float, int]]:
    """The sum over kernels estimated one by one; None is no estimate, and adds nothing."""

    def estimate(network: UntimedNetwork) -> tuple[float, int]:
        each_ms = [latency_ms(kernel) for kernel in network.kernels]
        return sum(ms for ms in each_ms if ms is not None), sum(ms is None for ms in each_ms)

    return estimate
