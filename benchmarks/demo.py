"""The demo's bars: `make demo` (the main job with every default) over three seeds, in fresh folders.

    python -m benchmarks.demo [--seeds 0 1 2] [--random 9] [--out DIR] [--json FILE]

With `--random N` each seed is searched once more with N random networks trained alike: the picks can be
compared with as many as the training time of the whole search would have paid for, as 14 short trainings
and 5 long ones of 300 steps each are about 9 random networks of 600. The evaluations are those of the first
run. Hypervolume: of (measured latency / budget, validation error / error of guessing), reference (1, 1).

The first seed starts with an empty data home, so its figures include profiling; the others reuse the
latency table. CPU seconds are those of the process and all its children; memory is the largest sum of
resident sets of the process tree, sampled every 0.2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from hwnas.front import hypervolume, non_dominated

SVC_MARGIN = 0.003
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--random", type=int, default=0, help="random networks to compare with (default: none)"
    )
    parser.add_argument("--out", type=Path, help="where the runs go (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="hwnas-demo-"))
    rows = [one_run(out, seed) for seed in options.seeds]
    if options.random:
        for row in rows:
            row |= against_random(out, row["seed"], options.random)
    for row in rows:
        print("  ".join(f"{key}={shown(value)}" for key, value in row.items()))
    summary = summarise(rows)
    for key, value in summary.items():
        print(f"{key:42} {shown(value)}")
    if options.json:
        options.json.write_text(json.dumps({"runs": rows, "summary": summary}, indent=1, allow_nan=False))


def one_run(out: Path, seed: int) -> dict[str, Any]:
    """One search with every default; figures of the process tree and of the front it left."""
    run = out / f"seed-{seed}"
    before, began = os.times(), time.monotonic()
    process = _search(out, run, seed)
    peak = Peak(process.pid)
    _wait(process)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    usage = {"seed": seed, "cpu_s": cpu_s, "wall_s": time.monotonic() - began, "peak_gb": peak.stop() / 1e9}
    return {**usage, **front_figures(json.loads((run / "front.json").read_text()))}


def _search(out: Path, run: Path, seed: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cli", "search", "--seed", str(seed)]
    return subprocess.Popen([*command, "--out", str(run), "--home", str(out / "home"), *more])


def _wait(process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    if code:
        sys.exit(f"{process.args!r} ended with exit code {code}")


def against_random(out: Path, seed: int, n: int) -> dict[str, Any]:
    """Hypervolume of the picks, and of `n` random networks trained alike."""
    run = out / f"seed-{seed}-random"
    _wait(_search(out, run, seed, "--random-baselines", str(n)))
    front = json.loads((run / "front.json").read_text())
    limit_ms = min(b["limit"] for b in front["budgets"] if b["metric"] == "latency_ms")
    points = [p for p in front["points"] if p["measured"]]
    picks = [p for p in points if p["pick"]]
    random = [p for p in points if p["origin"] == "random"]
    return {
        "picks_hypervolume": volume(picks, limit_ms),
        "random_hypervolume": volume(random, limit_ms),
        "random_trained": len(random),
    }


def volume(points: list[dict[str, Any]], limit_ms: float) -> float:
    """Hypervolume of measured points, between 0 and 1."""
    chance = 0.1
    values = [
        (p["measured"]["latency_p50_ms"] / limit_ms, (1 - p["measured"]["val_accuracy"]) / (1 - chance))
        for p in points
    ]
    return hypervolume(values, (1.0, 1.0))


def front_figures(front: dict[str, Any]) -> dict[str, Any]:
    """What the bars ask of a front."""
    limit_ms = min(b["limit"] for b in front["budgets"] if b["metric"] == "latency_ms")
    points = [p for p in front["points"] if p["measured"]]
    picks = [p for p in points if p["pick"]]
    chosen = next(p for p in picks if p["arch_id"] == front["chosen"])
    own = [p for p in points if p["origin"] in ("front", "gradient")]
    quick = undominated(
        [(p["measured"]["latency_p50_ms"], p["predicted"]["val_accuracy_search"]) for p in own]
    )
    trained = undominated([(p["measured"]["latency_p50_ms"], p["measured"]["val_accuracy"]) for p in picks])
    checked = [c["measured_ms"] for c in front["table"]["check"]]
    return {
        "budget_ms": limit_ms,
        "test_accuracy": chosen["measured"]["test_accuracy"],
        "svc_test_accuracy": front["svc_test_accuracy"],
        "picks": len(picks),
        "picks_inside": sum(p["measured"]["latency_p50_ms"] <= limit_ms for p in picks),
        "front_points": len(quick),
        "front_span": quick[-1] / quick[0],
        "trained_front_points": len(trained),
        "trained_front_span": trained[-1] / trained[0],
        "space_span_measured": max(checked) / min(checked),
        "label_disagreements": max(p["measured"]["label_disagreements"] for p in picks),
        "profile_cpu_s": front["table"].get("profile_cpu_s"),
        "mape_pct": front["table"]["mape_pct"],
        "rank_correlation": front["rank_correlation"],
    }


def undominated(points: list[tuple[float, float]]) -> list[float]:
    """Latencies, ascending, of the points (latency, accuracy) that no other dominates."""
    values = np.array([(latency, -accuracy) for latency, accuracy in points])
    return sorted(float(v) for v in values[non_dominated(values)][:, 0])


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The bars, met or not, over the seeds."""
    test = [r["test_accuracy"] for r in rows]
    more: dict[str, Any] = {}
    if "picks_hypervolume" in rows[0]:
        difference = np.array([r["picks_hypervolume"] - r["random_hypervolume"] for r in rows])
        half = t.ppf(0.975, len(rows) - 1) * difference.std(ddof=1) / np.sqrt(len(rows))
        more["hypervolume of the picks less that of random networks"] = (
            f"{difference.mean():+.4f} [{difference.mean() - half:+.4f}, {difference.mean() + half:+.4f}]"
        )
    svc = [r["svc_test_accuracy"] for r in rows]
    return {
        "cpu_s of the first run (at most 300)": rows[0]["cpu_s"],
        "profiling cpu_s (at most 60)": rows[0]["profile_cpu_s"],
        "peak memory in GB (at most 4)": max(r["peak_gb"] for r in rows),
        "mean test accuracy of the chosen pick": float(np.mean(test)),
        "mean test accuracy of the SVC": float(np.mean(svc)),
        "chosen at least SVC - 0.3 points": bool(np.mean(test) >= np.mean(svc) - SVC_MARGIN),
        "trained and non-dominated (at least 5)": [r["trained_front_points"] for r in rows],
        "their span in latency (at least 2)": [round(r["trained_front_span"], 2) for r in rows],
        "rank correlation, search against trained (at least 0.5)": [
            round(r["rank_correlation"]["search_vs_trained"], 2) for r in rows
        ],
        **more,
        "every pick inside its budget": all(r["picks"] == r["picks_inside"] for r in rows),
        "span of the space, measured (at least 4)": min(r["space_span_measured"] for r in rows),
    }


class Peak:
    """The largest resident set of a process tree."""

    def __init__(self, pid: int) -> None:
        self._pid, self._largest, self._stopped = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Bytes."""
        self._stopped.set()
        self._thread.join()
        return self._largest

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            self._largest = max(self._largest, resident_bytes(self._pid))


def resident_bytes(pid: int) -> int:
    """Resident set of a process and its descendants; shared pages count in each."""
    total = 0
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        children = [
            c for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()
        ]
    except (OSError, IndexError):
        return total
    return total + sum(resident_bytes(int(child)) for child in children)


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
