"""How far latency tables are off: networks of a space that the calibration has not seen.

    python -m benchmarks.latency_table [--space mobile] [--image-size 32 224] [--minutes 2] [--later 16]
        [--method block-level in-context] [--isolated-seconds 60] [--json FILE]

Per image size and method (blocks measured alone, or priced by their kernels in profiles of whole networks):
the table is made from nothing, its blocks and whole networks measured in at most --minutes.
`held out`: the networks kept from the calibration, measured in the same process. `later`: other networks,
measured as `lut.measure` measures exported files, in a fresh process. The noise floor is how much two
sessions of one network differ. All methods are fitted on the same calibration networks; the isolated
operators, each measured alone, of these and the later networks are a table of their own, with a line behind.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lut
from benchmarks.peers import isolated_operators
from benchmarks.peers.common import Peer, Untimed, untimed
from hwnas.pipeline import networks
from hwnas.spaces import load_space
from lut.devices.device import run_rows
from lut.tables.calibrate import errors, fit_calibration, fit_macs
from lut.tables.request import IN_CONTEXT, METHODS
from profilers import Timing
from profilers.kernels import row_kernels
from targets import Target, load_target

PREDICTIONS = {
    "": "latency table",
    "sum_": "the same without the square",
    "macs_line_": "line in MACs",
    "isolated_": "isolated operators",
}
COLUMNS = ("mape_pct", "within_5_pct", "within_10_pct", "spearman")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--image-size", type=int, nargs="+", default=[32, 224])
    parser.add_argument("--minutes", type=float, default=2.0, help="of profiling, per image size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--later", type=int, default=16, help="networks measured in another process")
    parser.add_argument("--isolated-seconds", type=float, default=60.0, help="for operators alone; 0: none")
    parser.add_argument("--target", default="host")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for size in options.image_size:
        for method in options.method:
            with tempfile.TemporaryDirectory(prefix="hwnas-latency-") as home:
                result = one_table(size, method, options, Path(home))
            show(result)
            results.append(result)
        compare(results[-len(options.method) :])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")


def one_table(size: int, method: str, options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """Figures of one table, made from nothing."""
    space = load_space(options.space, image_size=size, in_channels=3, n_classes=10)
    target = load_target(options.target)
    start_s, cpu_s = time.monotonic(), cpu_seconds()
    table = lut.space_table(
        target,
        space.space_id,
        networks.parts(space),
        networks.wholes(space, options.seed),
        minutes=options.minutes,
        home=home,
        exporter=networks.exporter(1),
        seed=options.seed,
        log=log,
        method=method,
        profiled=networks.covering(space, options.seed) if method == IN_CONTEXT else (),
    )
    wall_s, cpu_s = time.monotonic() - start_s, cpu_seconds() - cpu_s
    held_out = {k: v for k, v in table.errors.items() if not isinstance(v, list)}
    return {
        "space": space.space_id,
        "image_size": size,
        "method": method,
        "target": target.to_json(),
        "context": {"hash": table.context.hash, "facts": dict(table.context.facts)},
        "date": table.date,
        "profiling_wall_s": wall_s,
        "profiling_cpu_s": cpu_s,
        "latency_range_ms": [
            f(row["measured_ms"] for part in ("check", "calibration") for row in table.errors[part])
            for f in (min, max)
        ],
        "held_out": held_out,
        "later": later(space, table, options, home) if options.later else None,
        "networks": table.errors["check"],
    }


def later(space: Any, table: lut.SpaceTable, options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """Errors on new random networks, each a file that is measured after the table was made."""
    rng = np.random.default_rng([options.seed, 1])
    chosen = [arch for arch, _ in networks.spread_by_macs(space, rng, options.later)]
    files = {space.key(arch): networks.arch_onnx(space, arch) for arch in chosen}
    found = lut.measure(load_target(options.target), files, home=home, log=log)
    measured = np.array([found[space.key(arch)].p50_ms for arch in chosen])
    parts = [space.block_keys(arch) for arch in chosen]
    macs = np.array([float(sum(space.blocks()[k].macs for k in keys)) for keys in parts])
    known = {row["key"]: row["measured_ms"] for row in table.errors["calibration"]}
    fitted = [w for w in networks.wholes(space, options.seed) if w.key in known]
    fitted_ms = np.array([known[w.key] for w in fitted])
    a, b = fit_macs(np.array([float(w.macs) for w in fitted]), fitted_ms)
    groups = {part.key: part.group for part in networks.parts(space)}
    bare = replace(table.blocks, factors={})
    straight, costs = fit_calibration(bare, groups, [w.blocks for w in fitted], fitted_ms, square=False)
    predicted = {
        "": table.calibration.networks_ms(table.blocks, parts),
        "sum_": straight.networks_ms(costs, parts),
        "macs_line_": a + b * macs,
    }
    if options.isolated_seconds > 0:
        known_files = {w.key: w.onnx() for w in fitted}
        predicted["isolated_"] = isolated(known_files, fitted_ms, files, options)
    return {f"{prefix}{k}": v for prefix, p in predicted.items() for k, v in errors(p, measured).items()}


def isolated(
    fitted: dict[str, bytes], fitted_ms: np.ndarray, files: dict[str, bytes], options: argparse.Namespace
) -> np.ndarray:
    """Latencies of the files by a table of their operators, and a line through the fitted networks."""
    target = load_target(options.target)
    networks = kernels(target, {**fitted, **files})
    peer = isolated_operators.measured(networks.values(), target, options.isolated_seconds, log, options.seed)
    log(f"kernels without an estimate: {sum(peer.unknown(network) for network in networks.values())}")
    a, b = fit_macs(estimated(peer, [networks[key] for key in fitted]), fitted_ms)
    return a + b * estimated(peer, [networks[key] for key in files])


def estimated(peer: Peer, networks: list[Untimed]) -> np.ndarray:
    return np.array([peer(network) for network in networks])


def kernels(target: Target, files: dict[str, bytes]) -> dict[str, Untimed]:
    """What the runtime makes of each file."""
    timing = Timing(20.0 + 2 * len(files), min_rounds=4, max_rounds=4, together=8)
    rows = run_rows(target, files, timing, log, kinds={key: ("kernels",) for key in files})
    return {row["key"]: untimed(row_kernels(row)) for row in rows}


def show(result: dict[str, Any]) -> None:
    """One block of the table on stdout."""
    held_out, (low_ms, high_ms) = result["held_out"], result["latency_range_ms"]
    target, facts = result["target"], result["context"]["facts"]
    print(
        f"\n{result['space']}, {result['method']}, on {target['name']}: {facts.get('cpu_model')}, "
        f"onnxruntime {facts['ort_version']}, {target['threads']} thread, {target['precision']}, "
        f"{result['date']}"
    )
    print(
        f"networks {low_ms:.3g} to {high_ms:.3g} ms; {held_out['n_rows_measured']} blocks measured, "
        f"{held_out['n_rows_predicted']} predicted; {held_out['n_calibration']} networks calibrate, "
        f"{held_out['n_check']} check; "
        f"{result['profiling_cpu_s']:.0f} CPU s, {result['profiling_wall_s']:.0f} s"
    )
    print(f"{'':12}{'method':32}{'MAPE %':>8}{'±5 %':>7}{'±10 %':>7}{'Spearman':>10}")
    for part in ("held_out", "later"):
        for prefix, name in PREDICTIONS.items() if result[part] else ():
            if prefix + COLUMNS[0] not in result[part]:
                continue
            mape, five, ten, rank = (result[part][prefix + c] for c in COLUMNS)
            print(f"{part.replace('_', ' '):12}{name:32}{mape:8.2f}{five:7.0f}{ten:7.0f}{rank:10.3f}")
    print(f"{'':12}{'noise floor':32}{held_out['noise_floor_pct']:8.2f}")
    print(
        f"{'':12}{'predictor, held-out rows':32}{held_out['predictor_mape_pct']:8.2f}"
        f"{'':7}{held_out['predictor_within_10_pct']:7.0f}"
    )


def compare(results: list[dict[str, Any]]) -> None:
    """All methods of one image size in one table: errors on held-out networks, beside the MACs line."""
    print(f"\n{results[0]['space']}, held-out networks")
    print(
        f"{'method':32}{'MAPE %':>8}{'±5 %':>7}{'±10 %':>7}{'Spearman':>10}{'MACs line %':>13}{'noise %':>9}"
    )
    for result in results:
        found = result["held_out"]
        mape, five, ten, rank = (found[c] for c in COLUMNS)
        print(
            f"{result['method']:32}{mape:8.2f}{five:7.0f}{ten:7.0f}{rank:10.3f}"
            f"{found['macs_line_mape_pct']:13.2f}{found['noise_floor_pct']:9.2f}"
        )


def cpu_seconds() -> float:
    """Of this process and of the children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
