"""CPU time of one search step (arch step and weight step) of every method, and of pt.darts in the same run.

    python -m benchmarks.search_step [--methods NAME ...] [--reference DIR] [--compile] [--json FILE]
        [--batch 16] [--channels 8] [--cells 5] [--threads 1] [--repeats 5] [--draws 8] [--paper]

Methods: rows of `hwnas methods` or TOML files; without, all rows. A row that is meant for another space than
`darts` runs in its own (32 px), and gates of ProxylessNAS in both. All take turns in every repeat; printed
is the least CPU time of the repeats. Rows that draw what runs are timed over the same draws (8) each time.
`--reference`: a check-out of github.com/khanrc/pt.darts; a ratio is that of one repeat, and printed are the
median of the repeats and their ends. `--paper`: batch 64, 16 channels, 8 cells. For a GPU: `cuda.py`.

The floor: MACs at the best rate of a dense product (x FLOPs), and every kind of work at its own best rate,
memory traffic too (x roofline); see `floor.py`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.floor import Rates, Work, count, measure_rates
from benchmarks.peers import pt_darts
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.method import Method
from hwnas.gradient.method_file import find_method
from hwnas.gradient.methods import METHODS
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage_supernets import stage_supernets
from hwnas.spaces import load_space
from targets.errors import HwnasError

SIZE, CLASSES, STEPS = 32, 10, 1000
SPACES = {
    "proxyless": ("proxyless", "darts"),
    "proxyless-full": ("proxyless", "darts"),
    "proxyless-rl": ("proxyless",),
    "enas-macro": ("enas-macro",),
    "elastic": ("mobile",),
    "ofa": ("mobile",),
    "fbnet": ("mobile",),
}
"""Where a row is not meant for `darts` alone."""

FIRST, SECOND = "pt.darts, first order", "pt.darts, second order"
BARS = {
    "darts": (FIRST, 0.60),
    "darts, compiled": (FIRST, 0.50),
    "darts-2": (SECOND, 0.60),
    "darts-2-fast": (SECOND, 0.45),
    "hyperdarts": (SECOND, 0.35),
    "pc-darts": (FIRST, 0.45),
    "gdas": (FIRST, 0.20),
    "proxyless": (FIRST, 0.25),
}


class Noise:
    """Random images: what a step costs does not depend on what is in them."""

    def __init__(self, batch: int, seed: int, device: str = "cpu") -> None:
        x = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        x, y = x.contiguous(memory_format=torch.channels_last), torch.arange(batch) % CLASSES
        self._batch = (x.to(device), y.to(device))

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._batch


@dataclass
class Subject:
    """What is timed. steps: one per draw. seconds: per repeat and draw."""

    name: str
    space: str
    steps: Sequence[Callable[[], object]]
    compiled: bool = False
    work: Work = field(default_factory=Work)
    seconds: list[list[float]] = field(default_factory=list)

    def warm_up(self) -> None:
        """Run every draw once, counting; then let the compiler do its work."""
        works = [count(step) for step in self.steps]
        self.work = Work(*(statistics.mean(getattr(w, k) for w in works) for k in Work.__slots__))
        if self.compiled:
            self.steps[0]()

    def time(self) -> None:
        self.seconds.append([cpu_s(step) for step in self.steps])

    @property
    def least_ms(self) -> float:
        """The least of the repeats, mean over the draws."""
        return 1e3 * statistics.mean(map(min, zip(*self.seconds, strict=True)))

    def ratios(self, other: Subject) -> list[float]:
        """To the other, repeat by repeat."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return sorted(statistics.mean(mine) / statistics.mean(theirs) for mine, theirs in pairs)


def cpu_s(run: Callable[[], object]) -> float:
    """CPU-seconds of all threads."""
    began = time.process_time()
    run()
    return time.process_time() - began


def ours(
    row: Method,
    space_name: str,
    asked: argparse.Namespace,
    *,
    compiled: bool = False,
    device: str = "cpu",
    warn: Callable[[str], None] = lambda text: None,
) -> Subject:
    """A search of the row, set to the first step at which its policy learns."""
    space: Any = load_space(space_name, image_size=SIZE, in_channels=3, n_classes=CLASSES)
    scale = space.search_scale
    if space_name == "darts":
        scale = replace(scale, cells=asked.cells, channels=asked.channels)
    # A policy that stays where it is draws the same in every repeat.
    settings = SearchSettings(STEPS, 10 * STEPS, seed=0, arch_every=1, arch_lr=1e-12, compile=compiled)
    search = GradientSearch(
        space, stage_supernets(space, scale), CostModel(space), (), row,
        Noise(asked.batch, 0, device), Noise(asked.batch, 1, device), settings, device=device, warn=warn,
    )  # fmt: skip
    first = next((s for s in range(STEPS) if search.timetable.due(s)), 0)

    def step(draw: int) -> Callable[[], None]:
        def run() -> None:
            search.generator.manual_seed(draw)
            search.loop.step = first
            search.run(until=first + 1)

        return run

    n = asked.draws if _draws(search) else 1
    return Subject(row.name + ", compiled" * compiled, space_name, [step(d) for d in range(n)], compiled)


def _draws(search: GradientSearch) -> bool:
    """Whether what runs differs from step to step."""
    context = search.step_context(0)

    def active(seed: int) -> list[Any]:
        search.generator.manual_seed(seed)
        places = (context.relax.weight, context.relax.arch)
        return [search.policy.draw(place, context.relax_context).active for place in places]

    return active(0) != active(1) or search.method.weight_rule.name == "sandwich"


def subjects(asked: argparse.Namespace) -> list[Subject]:
    found = []
    for name in asked.methods or METHODS:
        row = find_method(name)
        for space in SPACES.get(name, ("darts",)):
            for compiled in (False, True) if asked.compile else (False,):
                try:
                    found.append(ours(row, space, asked, compiled=compiled))
                except HwnasError as error:
                    print(f"{name} ({space}) is not timed: {error}", file=sys.stderr)
    if asked.reference:
        made = pt_darts.steps(
            asked.reference, lambda i: Noise(asked.batch, i).at(0), asked.channels, asked.cells
        )
        found += [Subject(name, "darts", [step]) for name, step in made.items()]
    return found


def facts(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        **{k: getattr(asked, k) for k in ("batch", "channels", "cells", "threads", "repeats", "draws")},
        "image_size": SIZE,
    }


def rows_of(found: Sequence[Subject], rates: Rates) -> list[dict[str, Any]]:
    by_name = {s.name: s for s in found}
    rows = []
    for s in found:
        flops_ms, roofline_ms = rates.floor_ms(s.work)
        row: dict[str, Any] = {
            "name": s.name, "space": s.space, "draws": len(s.steps), "cpu_ms": s.least_ms,
            "gmacs": (s.work.dense_macs + s.work.depthwise_macs) / 1e9,
            "flops_floor_ms": flops_ms, "roofline_ms": roofline_ms, "ratios": {},
        }  # fmt: skip
        if s.space == "darts":
            others = [by_name[n] for n in (FIRST, SECOND) if n in by_name]
            row["ratios"] = {other.name: s.ratios(other) for other in others}
            if s.name in BARS:
                row["bar"] = BARS[s.name]
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"{'row':32s} {'space':11s} {'CPU ms':>8s} {'GMAC':>6s} {'x FLOPs':>8s} {'x roofline':>10s}  "
        "of first order       of second order      bar"
    ]
    for r in rows:
        shares = [_share(r["ratios"].get(name)) for name in (FIRST, SECOND)]
        bar = ""
        if "bar" in r and r["bar"][0] in r["ratios"]:
            other, limit = r["bar"]
            met = statistics.median(r["ratios"][other]) <= limit
            bar = f"{limit:.2f} of {other.split(', ')[1]}: {'met' if met else 'MISSED'}"
        lines.append(
            f"{r['name']:32s} {r['space']:11s} {r['cpu_ms']:8.1f} {r['gmacs']:6.2f} "
            f"{r['cpu_ms'] / r['flops_floor_ms']:8.1f} {r['cpu_ms'] / r['roofline_ms']:10.1f}  "
            f"{shares[0]:20s} {shares[1]:20s} {bar}".rstrip()
        )
    return "\n".join(lines)


def _share(ratios: Sequence[float] | None) -> str:
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", help="names or TOML files; default: all rows")
    numbers = {"batch": 16, "channels": 8, "cells": 5, "threads": 1, "repeats": 5, "draws": 8}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--paper", action="store_true", help="batch 64, 16 channels, 8 cells")
    parser.add_argument("--reference", type=Path, help="a check-out of pt.darts")
    parser.add_argument("--compile", action="store_true", help="time every row compiled as well")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.paper:
        asked.batch, asked.channels, asked.cells = 64, 16, 8
    return asked


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    try:
        found = subjects(asked)
    except HwnasError as error:
        sys.exit(f"search_step: {error}")
    rates = measure_rates()
    for subject in found:
        subject.warm_up()
        print(f"{subject.name} ({subject.space}) is ready", file=sys.stderr, flush=True)
    for repeat in range(asked.repeats):
        for subject in found:
            subject.time()
        print(f"repeat {repeat + 1} of {asked.repeats}", file=sys.stderr, flush=True)
    rows = rows_of(found, rates)
    print(f"batch {asked.batch}, {asked.channels} channels, {asked.cells} cells, {asked.threads} thread(s), "
          f"{SIZE} px; {rates.dense_macs / 1e9:.1f} GMAC/s dense, {rates.depthwise_macs / 1e9:.1f} GMAC/s "
          f"depthwise, {rates.moved_bytes / 1e9:.1f} GB/s")  # fmt: skip
    print(table(rows))
    if asked.json:
        document = {"facts": facts(asked), "rates": {k: getattr(rates, k) for k in Rates.__slots__},
                    "rows": rows}  # fmt: skip
        asked.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
