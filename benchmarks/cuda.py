"""All figures of a search on one CUDA device against their bars; five minutes are an estimate, not measured.

    python -m benchmarks.cuda [--reference DIR] [--methods NAME ...] [--repeats 8] [--json FILE]

Search steps at batch 64, 16 channels, 8 cells, 32 px: time from synchronisation to synchronisation, the share
of it in which the device worked, kernels, launches and peak memory; ratios to pt.darts (`--reference`: a
check-out of github.com/khanrc/pt.darts) of the same run. Then the training of shared weights: space `mobile`,
32 px, batch 128, random images on the device. Each row frees its network before the next is made.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_cost import GpuCost, gpu_cost
from benchmarks.peers import pt_darts
from benchmarks.search_step import FIRST, SECOND, SIZE, Noise, Subject, ours
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.method_file import find_method
from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.spaces import load_space

METHODS = ("darts", "darts-2", "darts-2-fast", "hyperdarts", "pc-darts", "gdas", "proxyless")
BARS = {
    "darts": (FIRST, 0.20),
    "darts-2": (SECOND, 0.25),
    "hyperdarts": (SECOND, 0.10),
    "pc-darts": (FIRST, 0.10),
    "gdas": (FIRST, 0.08),
    "proxyless": (FIRST, 0.08),
}
BUSY_BAR = 0.80
BEFORE_MIB = {
    "darts": 4552, "darts-2": 4845, "darts-2-fast": 4829, "hyperdarts": 4802, "pc-darts": 1508,
    "gdas": 1338, "proxyless": 1372,
}  # fmt: skip
"""Peak memory on an H200 without graphs (docs/benchmarks.md); with them it may be a fifth more."""
BEFORE_STEPS_PER_S, FASTER = 39.0, 5.0
"""Of the training of shared weights there, and the bar."""


def measured(make: Callable[[], Sequence[Callable[[], object]]], repeats: int) -> GpuCost:
    """The cost of what `make` gives; its memory is free again afterwards."""
    runs = make()
    cost = gpu_cost(runs, repeats)
    del runs
    gc.collect()
    torch.cuda.empty_cache()
    return cost


def step_rows(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A row per method, and per order of pt.darts."""
    rows: list[dict[str, Any]] = []
    if asked.reference:
        for name in (FIRST, SECOND):

            def peer(name: str = name) -> list[Callable[[], object]]:
                batch = lambda i: Noise(asked.batch, i, "cuda").at(0)  # noqa: E731  (as pt_darts takes it)
                return [pt_darts.steps(asked.reference, batch, asked.channels, asked.cells, "cuda")[name]]

            rows.append({"name": name, **_facts(measured(peer, asked.repeats))})
    for name in asked.methods or METHODS:
        row, warnings = find_method(name), list[str]()

        def one(row: Any = row, warnings: list[str] = warnings) -> Sequence[Callable[[], object]]:
            subject: Subject = ours(row, "darts", asked, device="cuda", warn=warnings.append)
            return subject.steps

        rows.append({"name": name, **_facts(measured(one, asked.repeats)), "warnings": warnings})
        print(f"{name} is done", file=sys.stderr, flush=True)
    return rows


def _facts(cost: GpuCost) -> dict[str, Any]:
    return {**asdict(cost), "busy": cost.busy}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Each row with its bars."""
    times = {r["name"]: r["ms"] for r in rows}
    lines = [
        f"{'row':24s} {'ms':>8s} {'kernels ms':>10s} {'busy':>5s} {'kernels':>8s} {'launches':>8s} "
        f"{'MiB':>6s}  bars"
    ]
    for r in rows:
        bars = []
        other, limit = BARS.get(r["name"], ("", 0.0))
        if other in times:
            bars.append(_bar(f"{other.split(', ')[1]}", r["ms"] / times[other], limit))
        if r["name"] == "darts":
            bars.append(f"busy {r['busy']:.0%}: {'met' if r['busy'] >= BUSY_BAR else 'MISSED'}")
        if r["name"] in BEFORE_MIB:
            bars.append(_bar("memory of before", r["peak_mib"] / BEFORE_MIB[r["name"]], 1.2))
        lines.append(
            f"{r['name']:24s} {r['ms']:8.1f} {r['kernel_ms']:10.1f} {r['busy']:5.0%} {r['kernels']:8d} "
            f"{r['launches']:8d} {r['peak_mib']:6.0f}  {', '.join(bars)}".rstrip()
        )
        lines += [f"  {warning}" for warning in r.get("warnings", ())]
    return "\n".join(lines)


def _bar(what: str, share: float, limit: float) -> str:
    return f"{share:.2f} of {what} (bar {limit:.2f}): {'met' if share <= limit else 'MISSED'}"


def supernet_steps_per_s(steps: int = 400, skipped: int = 100) -> float:
    """Steps per second of the training of shared weights, after `skipped` of them."""
    space: Any = load_space("mobile", image_size=SIZE, in_channels=3, n_classes=10)
    costs = CostModel(space)
    settings = WarmupSettings(steps=skipped + steps, epoch_steps=skipped + steps, seed=0)
    warmup = Warmup(
        space, make_supernet(space, 0), Noise(128, 0, "cuda"), settings,
        macs=lambda archs: costs.of(archs)["macs"], device="cuda",
    )  # fmt: skip
    warmup.run(until=skipped)
    torch.cuda.synchronize()
    began = time.perf_counter()
    warmup.run()
    torch.cuda.synchronize()
    return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, help="a check-out of pt.darts")
    parser.add_argument("--methods", nargs="+", help="rows; default: those with a bar")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.batch, asked.channels, asked.cells, asked.draws = 64, 16, 8, 8
    if not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device here; run this on a machine with one")
    rows = step_rows(asked)
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}; batch {asked.batch}, "
        f"{asked.channels} channels, {asked.cells} cells, {SIZE} px"
    )
    print(table(rows))
    rate = supernet_steps_per_s()
    bar = FASTER * BEFORE_STEPS_PER_S
    verdict = "met" if rate >= bar else "MISSED"
    print(f"shared weights of mobile, batch 128: {rate:.0f} steps/s (bar {bar:.0f}): {verdict}")
    if asked.json:
        document = {"rows": rows, "supernet_steps_per_s": rate}
        asked.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
