"""How near to the true Pareto front do strategies come with few evaluations? On the table of NAS-Bench-201.

    python -m benchmarks.front_quality FOLDER [--half second] [--seeds 5] [--evaluations 300] [--json FILE]
    python -m benchmarks.front_quality FOLDER --noise 0.5 --evaluations 100
    python -m benchmarks.front_quality FOLDER --costs latency_ms params macs

FOLDER holds accuracy.csv (one row per architecture: c10_val200 and c10_test200 in percent, iso_rep, the first
architecture that is the same network) and latency.csv (lat_ms_<device>). Strategies see validation accuracy,
with noise where asked; costs are exact and known. An evaluation is a different network: a strategy that asks
again is answered from memory and not charged.

gap: 1 - hypervolume of what was evaluated / hypervolume of the true front, axes scaled to the whole table of
the device, reference (1, …). With noise, of what the strategy takes for its front. regret: points of test
accuracy below the best network within a latency budget (quartiles of the table), for the network that the
strategy takes for the best. Methods were developed on the first half of the devices; report the second.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .methods import METHODS, Evaluations, Spent
from .table import COSTS, Device, Table

MARKS = (20, 50, 100, 300)
REGRET_AFTER = 100
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. gaps: by number of evaluations. regrets: per budget, in points of test accuracy."""

    method: str
    device: str
    seed: int
    gaps: dict[int, float]
    regrets: list[float]
    cpu_s: float


def measure(device: Device, method: str, seed: int, n: int, noise: float) -> Outcome:
    """Run a method until `n` evaluations are spent and score what it found."""
    evaluations = Evaluations(device, n, noise, seed)
    started = time.process_time()
    with contextlib.suppress(Spent):
        METHODS[method](evaluations, seed)
    cpu_s = time.process_time() - started
    marks = [m for m in MARKS if m <= n]
    gaps = {m: device.gap(evaluations.front_after(m)) for m in marks}
    regrets = [evaluations.regret_after(min(n, REGRET_AFTER), q) for q in QUARTILES]
    return Outcome(method=method, device=device.name, seed=seed, gaps=gaps, regrets=regrets, cpu_s=cpu_s)


def compare(
    table: Table,
    devices: Sequence[str],
    methods: Sequence[str],
    seeds: int,
    n: int,
    *,
    noise: float = 0.0,
    costs: Sequence[str] = ("latency_ms",),
    note: Callable[[str], None] = lambda text: None,
) -> list[Outcome]:
    """Every method on every device with every seed."""
    outcomes = []
    for name in devices:
        device = Device(table, name, costs)
        for method in methods:
            outcomes += [measure(device, method, seed, n, noise) for seed in range(seeds)]
            own = [o.gaps for o in outcomes if (o.device, o.method) == (name, method)]
            note(f"{name:16}{method:14}" + gap_text(own))
    return outcomes


def gap_text(gaps: Sequence[dict[int, float]]) -> str:
    """Mean gaps x 1,000 by number of evaluations."""
    return "  ".join(f"{m}: {1000 * np.mean([g[m] for g in gaps]):7.2f}" for m in gaps[0])


def summary(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Per method: mean gaps x 1,000 with the spread over seeds, mean regret and CPU seconds."""
    rows = []
    devices = list(dict.fromkeys(o.device for o in outcomes))
    for method in dict.fromkeys(o.method for o in outcomes):
        own = [o for o in outcomes if o.method == method]
        row: dict[str, Any] = {"method": method}
        for mark in own[0].gaps:
            by_device = [[1000 * o.gaps[mark] for o in own if o.device == d] for d in devices]
            row[f"gap {mark}"] = float(np.mean(by_device))
            row[f"sd {mark}"] = float(np.mean([np.std(v) for v in by_device]))
        row["regret"] = float(np.mean([o.regrets for o in own]))
        row["worst budget"] = float(np.max(np.mean([o.regrets for o in own], axis=0)))
        row["cpu s"] = float(np.mean([o.cpu_s for o in own]))
        rows.append(row)
    return pd.DataFrame(rows).set_index("method")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("first", "second", "all"), default="second")
    parser.add_argument("--devices", nargs="+", help="these instead of a half")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--noise", type=float, default=0.0, help="points of accuracy, standard deviation")
    parser.add_argument("--costs", nargs="+", choices=COSTS, default=["latency_ms"])
    parser.add_argument("--json", type=Path, help="write every run here")
    options = parser.parse_args()
    table = Table.read(options.folder)
    middle = len(table.devices) // 2
    halves = {"first": table.devices[:middle], "second": table.devices[middle:], "all": table.devices}
    devices = options.devices or halves[options.half]
    methods = [m for m in options.methods if m != "pymoo-nsga2" or importlib.util.find_spec("pymoo")]
    outcomes = compare(
        table,
        devices,
        methods,
        options.seeds,
        options.evaluations,
        noise=options.noise,
        costs=options.costs,
        note=lambda text: print(text, flush=True),
    )
    print(f"gaps x 1,000 on {len(devices)} devices, {options.seeds} seeds, noise {options.noise:g} points")
    print(summary(outcomes).round(2).to_string())
    if options.json:
        settings = {k: v for k, v in vars(options).items() if k not in ("folder", "json")}
        document = {"settings": settings | {"devices": devices}, "runs": [asdict(o) for o in outcomes]}
        options.json.write_text(json.dumps(document, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
