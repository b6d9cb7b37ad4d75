"""Two runs of the same networks while other processes keep the machine busy half of the time: what agrees?

    python -m benchmarks.noise [--gap-minutes 10] [--networks 40] [--minutes 1.5] [--json FILE]

While a run measures, as many busy processes as there are cores come and go in stretches of 5 to 20 s. The
networks are the smallest of those that devices are profiled with, and blocks of the space `mobile`, measured
as `hwnas bench` measures files, each run in processes of its own. Where the intervals of a row do not
overlap between the runs, one of them must have been flagged; rows flagged in neither must agree.

    python -m benchmarks.noise --one-run [--load none|half|always] ...

measures each network twice in one run, under two names: both lie in the same minutes, so that what differs is
what the intervals must hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lut.devices.device import run_job
from lut.devices.measurement import Measurement, ReferenceSpeed
from lut.measure_files import timing
from lut.predictor.generate import generate
from targets import Target, load_target

STRETCH_S = 5.0, 20.0
"""Shortest and longest time for which the machine is busy, or left alone."""

BUSY = """
import os, numpy
parent, x = os.getppid(), numpy.ones(1 << 19)
while os.getppid() == parent:
    x *= 1.0000001
"""
"""Arithmetic on 4 MiB, which takes the core and the cache; it ends when its parent does."""

WITHIN, FLAGGED_PCT, MEDIAN_PCT = 5.0, 90.0, 5.0


def models(n: int, seed: int) -> dict[str, bytes]:
    """The n networks: half generated, the smallest of twice as many, half blocks of the space `mobile`."""
    from hwnas.pipeline.networks import parts
    from hwnas.spaces import load_space

    small = sorted(generate(2 * n, seed), key=lambda g: g.macs)[: n - n // 2]
    blocks = parts(load_space("mobile", image_size=224, in_channels=3, n_classes=10))
    chosen = np.random.default_rng(seed).permutation(len(blocks))[: n // 2]
    files = {g.key: g.onnx() for g in small}
    for i in chosen:
        data = blocks[i].onnx()
        if data is not None:
            files[blocks[i].key] = data
    return files


LOADS = ("half", "always", "none")


@contextmanager
def load(seed: int, n_processes: int, kind: str = "half") -> Iterator[dict[str, float]]:
    """Keep the machine busy, one of LOADS; the value holds the seconds of both states."""
    over, spent = threading.Event(), {"busy": 0.0, "alone": 0.0}

    def come_and_go() -> None:
        rng = random.Random(seed)
        busy = kind == "always" or (kind == "half" and rng.random() < 0.5)
        while not over.is_set():
            began = time.monotonic()
            children = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n_processes * busy)]
            try:
                over.wait(rng.uniform(*STRETCH_S))
            finally:
                for child in children:
                    child.kill()
                for child in children:
                    child.wait()
            spent["busy" if busy else "alone"] += time.monotonic() - began
            busy = not busy if kind == "half" else busy

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        yield spent
    finally:
        over.set()
        thread.join()


def run(
    target: Target, files: Mapping[str, bytes], minutes: float, home: Path, seed: int, kind: str = "half"
) -> tuple[dict[str, Measurement], dict[str, Any]]:
    """One run under load: what is reported of each network, and what was measured."""
    began = time.time()
    with load(seed, len(os.sched_getaffinity(0)), kind) as spent:
        rows = run_job(target, files, timing(60 * minutes, seed), log)
    speed = ReferenceSpeed(home, target)
    told = {"began": began, "seconds": spent, "rows": rows}
    return {key: speed.normalise(rows[key]) for key in files if key in rows}, told


def compare(first: Mapping[str, Measurement], second: Mapping[str, Measurement]) -> dict[str, Any]:
    """How far the two runs agree, over the networks that both have measured."""
    pairs = [(first[key], second[key]) for key in first if key in second]
    flagged = np.array([(a.flag, b.flag) != ("ok", "ok") for a, b in pairs])
    apart = np.array([max(a.ci_low_ms, b.ci_low_ms) > min(a.ci_high_ms, b.ci_high_ms) for a, b in pairs])
    off_pct = 100 * np.array([abs(a.p50_ms / b.p50_ms - 1) for a, b in pairs])
    trusted = off_pct[~flagged]
    held = np.array([abs(np.log(a.p50_ms / b.p50_ms)) <= np.hypot(_half(a), _half(b)) for a, b in pairs])
    steady = [m for pair in pairs for m in pair if m.flag == "ok"]
    width_pct = [50 * (m.ci_high_ms - m.ci_low_ms) / m.p50_ms for m in steady]
    return {
        "rows": len(pairs),
        "overlapping": int((~apart).sum()),
        "not_overlapping": int(apart.sum()),
        "not_overlapping_flagged_pct": _share_pct(flagged[apart]),
        "flagged": int(flagged.sum()),
        "unflagged_not_overlapping": int((apart & ~flagged).sum()),
        "unflagged_in_interval_pct": _share_pct(held[~flagged]),
        "all_in_interval_pct": _share_pct(held),
        "unflagged_median_pct": float(np.median(trusted)) if len(trusted) else None,
        "unflagged_within_5_pct": _share_pct(trusted <= WITHIN),
        "unflagged_largest_pct": float(trusted.max()) if len(trusted) else None,
        "unflagged_half_width_pct": float(np.median(width_pct)) if width_pct else None,
        "all_median_pct": float(np.median(off_pct)),
    }


def _half(m: Measurement) -> float:
    """Half of the interval, relative: two measurements differ by less than both together in 95 of 100."""
    return (m.ci_high_ms - m.ci_low_ms) / 2 / m.p50_ms


def passed(result: Mapping[str, Any]) -> bool:
    """Whether 90 % of the rows that differ were flagged, and the others agree within 5 % (median)."""
    share, median = result["not_overlapping_flagged_pct"], result["unflagged_median_pct"]
    return (share is None or share >= FLAGGED_PCT) and (median is None or median <= MEDIAN_PCT)


def _share_pct(of: Sequence[Any] | np.ndarray[Any, Any]) -> float | None:
    return float(100 * np.mean(of)) if len(of) else None


Run = tuple[dict[str, Measurement], dict[str, Any]]
"""What `run` returns."""


def apart(
    target: Target, files: Mapping[str, bytes], options: argparse.Namespace, home: Path
) -> tuple[Run, Run]:
    """Two runs, some minutes apart."""
    first = run(target, files, options.minutes, home, 2 * options.seed, options.load)
    time.sleep(60 * options.gap_minutes)
    return first, run(target, files, options.minutes, home, 2 * options.seed + 1, options.load)


def twice(
    target: Target, files: Mapping[str, bytes], options: argparse.Namespace, home: Path
) -> tuple[Run, Run]:
    """One run that has each network twice, under two names."""
    both = {**files, **{key + AGAIN: data for key, data in files.items()}}
    found, told = run(target, both, options.minutes, home, options.seed, options.load)
    again = {key: found[key + AGAIN] for key in files if key + AGAIN in found}
    return (found, told), (again, {**told, "rows": {}})


AGAIN = "#again"


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gap-minutes", type=float, default=10.0, help="from the first run to the second")
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=1.5, help="of each run, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="host")
    parser.add_argument("--one-run", action="store_true", help="both measurements in one run")
    parser.add_argument("--load", choices=LOADS, default="half", help="what keeps the machine busy")
    parser.add_argument("--json", type=Path, help="write the figures and all samples here")
    options = parser.parse_args()
    target, files = load_target(options.target), models(options.networks, options.seed)
    with tempfile.TemporaryDirectory(prefix="hwnas-noise-") as home:
        runs = (twice if options.one_run else apart)(target, files, options, Path(home))
    (first, told), (second, told_again) = runs
    result = compare(first, second)
    for key, value in result.items():
        print(f"{key:30}{'none' if value is None else round(value, 1):>8}")
    for name, one in (("first", told), ("second", told_again)):
        seconds = one["seconds"]
        print(f"{name} run: busy for {seconds['busy']:.0f} s, left alone for {seconds['alone']:.0f} s")
    trusted = result["rows"] > result["flagged"]
    verdict = "passed" if passed(result) else "not passed"
    print(verdict if trusted else f"{verdict}, but no row was trusted: too disturbed to say anything")
    if options.json:
        both = [{k: asdict(m) for k, m in found.items()} for found in (first, second)]
        document = {"result": result, "passed": passed(result), "reported": both, "runs": [told, told_again]}
        options.json.write_text(json.dumps(document, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
