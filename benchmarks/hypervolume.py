"""Are the picks better than random architectures and than MobileNetV3-small? Same recipe, budget, seeds.

    hwnas search --data cifar10.zip --width-mult 1 --budget 'macs<=5.5e6' --picks 3 --random-baselines 0 \\
        --minutes 30 --out runs/cifar
    python -m benchmarks.hypervolume runs/cifar [--seeds 0 1 2] [--json FILE]

Takes a finished run. Trains its picks, as many random architectures at the picks' latencies, and
MobileNetV3-small at as many widths, each with every seed; measures all on the target together; and
compares hypervolumes of (test accuracy, measured latency) seed by seed. Reference point: the accuracy
of a linear model and the budget, so that the volume is 1 for a network that is always right in no time.
What is trained stays in RUN/training, so a second call goes on where the first was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from hwnas.exporting.onnx_score import onnx_accuracy
from hwnas.front import hypervolume
from hwnas.pipeline.main_job import RunContext
from hwnas.pipeline.main_job.baselines import measured_baselines
from hwnas.pipeline.main_job.candidate import Finalist
from hwnas.pipeline.main_job.training import finalist, train_finalists
from hwnas.pipeline.networks import module_onnx
from hwnas.runs.log import Log
from hwnas.runs.search_run import open_search
from hwnas.training.training_job import Trained


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished run directory")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="write the table here")
    options = parser.parse_args()
    with open_search(options.run, log=Log()) as run:
        document = compare(RunContext(run), options.seeds)
    print_table(document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1, allow_nan=False))


def compare(context: RunContext, seeds: list[int]) -> dict[str, Any]:
    """Train, measure and score the three groups; returns the table and the paired differences."""
    groups = three_groups(context)
    members = [(group, network) for group, networks in groups.items() for network in networks]
    budget_ms = min(
        (b.limit for b in context.budgets if b.metric == "latency_ms"),
        default=max(network.candidate.measured["latency_ms"]["p50_ms"] for _, network in members),
    )
    latency_ms = measure_together(context, [network for _, network in members])
    floor = context.result("evaluation")["linear_test_accuracy"]
    table, volumes = [], []
    for seed in seeds:  # one after the other: a run that is cut still compares
        _, *finals = train_finalists(context, [network for _, network in members], seed)
        trained = {name: outcome for outcomes in finals for name, outcome in outcomes.items()}
        for group, network in members:
            outcome = trained.get(network.arch_id)
            if isinstance(outcome, Trained):
                table.append(
                    {
                        "seed": seed,
                        "group": group,
                        "name": network.arch_id,
                        "macs": network.candidate.predicted["macs"],
                        "latency_ms": latency_ms[network.arch_id],
                        "test_accuracy": test_accuracy(context, outcome),
                    }
                )
        own = {g: [r for r in table if (r["seed"], r["group"]) == (seed, g)] for g in groups}
        volumes.append({g: volume(rows, floor, budget_ms) for g, rows in own.items()})
    differences = {g: paired([v["picks"] - v[g] for v in volumes]) for g in groups if g != "picks"}
    return {
        "budget_ms": budget_ms,
        "linear_test_accuracy": floor,
        "rows": table,
        "volumes": volumes,
        "differences": differences,
    }


def three_groups(context: RunContext) -> dict[str, list[Finalist]]:
    """Picks, random architectures at their latencies, MobileNetV3-small: as many of each where possible."""
    picks = context.picks
    groups = {"picks": picks, **measured_baselines(context, len(picks), max(4, len(picks)), stream=1)}
    return {group: [finalist(context, c) for c in candidates] for group, candidates in groups.items()}


def measure_together(context: RunContext, networks: list[Finalist]) -> dict[str, float]:
    """p50 of every network, interleaved in one session, so that the machine's mood is the same for all."""
    from hwnas.training.build import build_network

    files = {n.arch_id: module_onnx(build_network(n.network), context.input_shape) for n in networks}
    return {name: rows["latency_ms"]["p50_ms"] for name, rows in context.measure(files, {}).items()}


def test_accuracy(context: RunContext, outcome: Trained) -> float:
    """Test accuracy of the exported file by onnxruntime."""
    path = outcome.folder / "model.onnx"
    if not path.exists():
        from hwnas.exporting.export import onnx_bytes
        from targets.files import write_atomic

        write_atomic(path, onnx_bytes(outcome.module(), context.input_shape))
    return onnx_accuracy(path, context.data, "test").accuracy


def volume(rows: list[dict[str, Any]], floor: float, budget_ms: float) -> float:
    """Share of the box between (accuracy 1, latency 0) and (floor, budget) that the rows dominate."""
    points = [((1 - r["test_accuracy"]) / (1 - floor), r["latency_ms"] / budget_ms) for r in rows]
    inside = [p for p in points if max(p) < 1]
    return float(hypervolume(np.array(inside), np.ones(2))) if inside else 0.0


def paired(differences: list[float]) -> dict[str, float]:
    """Mean and its 95 % interval by Student's t over the seeds."""
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return {"mean": mean, "low": mean, "high": mean}
    half = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def print_table(document: dict[str, Any]) -> None:
    """Means over the seeds, then the volumes and their differences."""
    rows = document["rows"]
    print(f"budget {document['budget_ms']:.4g} ms, linear model {document['linear_test_accuracy']:.4f}")
    print(f"{'group':14}{'network':26}{'MMACs':>8}{'p50 ms':>9}{'test accuracy, mean (spread)':>30}")
    for group, name in dict.fromkeys((r["group"], r["name"]) for r in rows):
        own = [r for r in rows if (r["group"], r["name"]) == (group, name)]
        accuracy = [r["test_accuracy"] for r in own]
        spread = f"{np.mean(accuracy):.4f} ({min(accuracy):.4f} to {max(accuracy):.4f})"
        print(f"{group:14}{name:26}{own[0]['macs'] / 1e6:8.2f}{own[0]['latency_ms']:9.4f}{spread:>30}")
    for i, volumes in enumerate(document["volumes"]):
        print(f"hypervolume, seed {i}: " + ", ".join(f"{g} {v:.4f}" for g, v in volumes.items()))
    for group, d in document["differences"].items():
        print(f"picks - {group}: {d['mean']:+.4f}, 95 % interval {d['low']:+.4f} to {d['high']:+.4f}")


if __name__ == "__main__":
    main()
