"""CPU time that the Bayesian search takes to propose, in a space of 10^12 architectures.

python -m benchmarks.propose [--evaluations 100]

Answers come at once, from a formula of MACs and parameters with noise; what is timed is `propose` alone.
"""

from __future__ import annotations

import argparse
import time
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from hwnas.costs.cost_model import CostModel
from hwnas.front.bo import BayesianSearch, Observation, Sought
from hwnas.spaces import load_space

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.network_space import NetworkSpace

ROWS = ((5, ("latency_ms",)), (1, ("latency_ms",)), (5, ("latency_ms", "params", "macs")))
"""Architectures at a time, and the known costs."""


def priced(space: NetworkSpace) -> CostModel:
    """Costs with a latency that goes with the MACs of each block."""
    rng = np.random.default_rng(0)
    ms = {key: float(np.log1p(b.macs) * rng.uniform(0.05, 0.1)) for key, b in space.blocks().items()}
    table = SimpleNamespace(
        intercept_ms=0.1, square_ms_per_mb2=0.0, latency_ms=ms.__getitem__, weight_mb=lambda key: 0.0
    )
    return CostModel(space, table)


def answer(space: NetworkSpace, costs: CostModel, arch: Arch) -> float:
    """An error that falls with the size, 5 % noise."""
    of_arch = costs.of([arch])
    rng = np.random.default_rng(zlib.crc32(space.key(arch).encode()))
    size = np.log1p(of_arch["macs"][0] / 1e5) / 4 + np.log1p(of_arch["params"][0] / 1e4) / 10
    return float(0.9 * np.exp(-size + 0.05 * rng.normal()))


def proposing_s(space: NetworkSpace, known: tuple[str, ...], batch: int, n: int) -> float:
    """CPU seconds for `n` proposals, the first catalogue of the space included."""
    costs = priced(space)
    search = BayesianSearch(space, costs.of, Sought(known=known, limits={}, worst={}), seed=0)
    observed: list[Observation] = []
    seconds = 0.0
    while len(observed) < n:
        began = time.process_time()
        proposals = search.propose(observed, batch)
        seconds += time.process_time() - began
        observed += [Observation(arch, answer(space, costs, arch)) for arch, _ in proposals]
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--evaluations", type=int, default=100)
    options = parser.parse_args()
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    print(f"space mobile: {space.size:.1e} architectures, {options.evaluations} evaluations")
    proposing_s(space, ("latency_ms",), 1, 10)  # imports
    for batch, known in ROWS:
        seconds = proposing_s(space, known, batch, options.evaluations)
        print(f"{batch} at a time, {', '.join(known)}: {seconds:.2f} CPU-s")


if __name__ == "__main__":
    main()
