"""The timing loop: all networks of a job, interleaved in random order, round after round.

A neighbour that disturbs the machine for a second disturbs a few samples of every network instead of
all samples of one (as the random interleaving of Google Benchmark). A fixed reference
network runs several times per round, so that every time is also known as a ratio to it, from which slow
drift cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .clock import Clocks
from .job import Timing
from .neighbours import Watch, alone, counted
from .rows import MeasuredRow, RowIdentity
from .stats import Floats, flagged, low_quantile, quantile_ratio, reasons_of, summarise, undisturbed

REFERENCE_EVERY = 16
REFERENCE_EVERY_MS = 20.0
"""Samples, and time, between two of the reference at most: the scale on which neighbours come and go."""

GRID = np.linspace(0, 1, 41)
"""Quantiles of the reference that are stored with every row, so that rows need nothing but themselves."""

_CLEARLY = 2
"""Times the length of a sample: a run of this length needs no further look at how long it is."""

CHECK_EVERY = 5
"""Rounds between two looks at the intervals, which cost 0.2 ms each."""


class TimedNetwork(Protocol):
    """Anything that can be run repeatedly."""

    def run(self, times: int) -> None:
        """Run it `times` times, one after the other."""
        ...

    def finish(self, n_samples: int) -> dict[str, Any]:
        """Fields of the row besides the times; called once, after the last of the samples."""
        ...


@dataclass
class Samples:
    """The samples of one network, in the order in which they were taken.

    inner: runs per sample.
    cpu_ms, wall_ms: milliseconds per run on the two clocks.
    ratio: time over that of the reference network just before.
    at_ns: when each sample ended.
    others_cpus: CPUs that others took meanwhile, as a `Watch` counts them; empty: unknown.
    """

    inner: int = 1
    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)
    others_cpus: list[float] = field(default_factory=list)

    def add(self, cpu_ms: float, wall_ms: float, at_ns: int) -> None:
        """One more sample."""
        self.cpu_ms.append(cpu_ms)
        self.wall_ms.append(wall_ms)
        self.at_ns.append(at_ns)

    def clock(self, name: str) -> Floats:
        """The samples (n,) of the clock named `cpu` or `wall` that count."""
        times = np.asarray(self.cpu_ms if name == "cpu" else self.wall_ms, dtype=np.float64)
        return counted(times, self.others_cpus)


def sample(network: TimedNetwork, times: int, clocks: Clocks) -> tuple[float, float]:
    """(cpu, wall) milliseconds per run over `times` runs, after one run that refills the caches."""
    network.run(1)
    wall, cpu = clocks.wall_ns(), clocks.cpu_ns()
    network.run(times)
    cpu, wall = clocks.cpu_ns() - cpu, clocks.wall_ns() - wall
    return cpu / times / 1e6, wall / times / 1e6


def warm_up(network: TimedNetwork, timing: Timing, clocks: Clocks) -> int:
    """Runs until caches and allocations have settled; returns the runs per sample."""
    for _ in range(timing.warmups):
        network.run(1)
    before = clocks.wall_ns()
    network.run(1)
    if clocks.wall_ns() - before > _CLEARLY * timing.min_sample_ms * 1e6:
        return 1
    fastest_ms = min(sample(network, 2, clocks)[1] for _ in range(2))
    return max(1, math.ceil(timing.min_sample_ms / max(fastest_ms, 1e-4)))


def measure(
    networks: Mapping[RowIdentity, TimedNetwork],
    reference: TimedNetwork,
    timing: Timing,
    clock: str,
    clocks: Clocks,
    deadline_ns: int,
) -> Iterator[MeasuredRow]:
    """Yield a row per network as soon as it is known; under 4 samples at the deadline: left out."""
    rng = np.random.default_rng(timing.seed)
    watch = Watch(clocks.wall_ns, clocks.others_ns)
    reference_samples = Samples(warm_up(reference, timing, clocks))
    open_: dict[RowIdentity, Samples] = {}
    for key, network in networks.items():
        if clocks.wall_ns() > deadline_ns:
            break
        open_[key] = Samples(warm_up(network, timing, clocks))

    def take_reference() -> float:
        watch.look()
        cpu, wall = sample(reference, reference_samples.inner, clocks)
        reference_samples.add(cpu, wall, clocks.wall_ns())
        return cpu if clock == "cpu" else wall

    def finished(of: RowIdentity, samples: Samples) -> MeasuredRow:
        samples.others_cpus = watch.cpus(samples.at_ns)
        # Like is compared with like: all samples of the one with all of the other.
        filtered = alone(samples.others_cpus) is not None
        reference_samples.others_cpus = watch.cpus(reference_samples.at_ns) if filtered else []
        return {**row(of, samples, reference_samples, clock), **networks[of].finish(len(samples.cpu_ms))}

    rounds = 0
    while open_ and rounds < timing.max_rounds and clocks.wall_ns() < deadline_ns:
        keys = [list(open_)[i] for i in rng.permutation(len(open_))]
        now, due, since = 1.0, 0, 0
        for i, key in enumerate(keys):
            if i >= due or clocks.wall_ns() - since > REFERENCE_EVERY_MS * 1e6:
                if clocks.wall_ns() >= deadline_ns:
                    break
                now = take_reference()
                due, since = i + REFERENCE_EVERY, clocks.wall_ns()
            samples = open_[key]
            cpu, wall = sample(networks[key], samples.inner, clocks)
            samples.add(cpu, wall, clocks.wall_ns())
            samples.ratio.append((cpu if clock == "cpu" else wall) / now)
        rounds += 1
        if rounds >= timing.min_rounds and (rounds - timing.min_rounds) % CHECK_EVERY == 0:
            for key in keys:
                samples = open_[key]
                samples.others_cpus = watch.cpus(samples.at_ns)
                times = samples.clock(clock)
                if len(times) >= timing.min_rounds and summarise(times).ci_pct <= timing.ci_pct:
                    del open_[key]
                    yield finished(key, samples)
    for key, samples in open_.items():
        if len(samples.cpu_ms) >= 4:
            yield finished(key, samples)


def row(of: RowIdentity, samples: Samples, reference: Samples, clock: str) -> MeasuredRow:
    """The row of one network: its summary, both clocks, what the reference and others did meanwhile."""
    times, other = samples.clock(clock), reference.clock(clock)
    s = summarise(times)
    cpu_share = sum(samples.cpu_ms) / max(sum(samples.wall_ms), 1e-9)
    kind, key, number = of
    return {
        "kind": kind,
        "key": key,
        "pass": number,
        "n": len(samples.wall_ms),
        "inner": samples.inner,
        "p20_ms": s.p20,
        "p50_ms": s.p50,
        "p90_ms": s.p90,
        "ci_low_ms": s.ci_low,
        "ci_high_ms": s.ci_high,
        "ci_pct": s.ci_pct,
        "quiet_share": s.quiet_share,
        "half_split": s.half_split,
        "drift": s.drift,
        **flagged(reasons_of(s, cpu_share, clock)),
        "clock": clock,
        "p20_ratio": quantile_ratio(times, other),
        "reference_quantiles_ms": [float(q) for q in np.quantile(other, GRID)],
        "reference_p20_ms": low_quantile(other),
        "reference_p50_ms": float(np.median(undisturbed(other))),
        "cpu_share": cpu_share,
        "cpu_ms": [round(x, 6) for x in samples.cpu_ms],
        "wall_ms": [round(x, 6) for x in samples.wall_ms],
        "ratio": [round(x, 6) for x in samples.ratio],
        "others_cpus": [round(x, 3) for x in samples.others_cpus],
    }
