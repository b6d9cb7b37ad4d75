"""Peak memory of a fresh process, predicted from a few generated networks and measured, on networks never
seen.

    python -m benchmarks.memory_prediction [acceptance|development] [--zoo FOLDER] [--networks 12] [--json
    FILE]

Beside the prediction stand file size times a constant and baseline plus file size times a constant, both with
the constant that suits the networks tested best (their median ratio), and the peak under the allocator's own
moving thresholds, which no method here predicts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import zoo
from lut.predictor.footprint.memory import MemoryModel, fit_memory
from lut.predictor.generate import generate
from profilers import Timing, write_job
from profilers.kernels import Kernel
from profilers.memory import memory_row
from profilers.profiled_runner import ProfiledRunner
from targets import Target, load_target

LARGE_BYTES = 20_000_000
Record = dict[str, Any]


def measured(target: Target, models: Mapping[str, bytes]) -> tuple[list[Record], dict[str, list[Kernel]]]:
    """Memory rows, and kernels by key."""
    rows, kernels = [], {}
    for key, data in models.items():
        with tempfile.TemporaryDirectory(prefix="hwnas-memory-") as folder:
            job = write_job(Path(folder), target, {key: data}, data, Timing(60.0), {key: ("memory",)})
            rows.append(memory_row(job, key))
            runner = ProfiledRunner(key, job.path(job.models[key]), target, 0)
            runner.run(1)
            runner.run(1)
            kernels[key], _ = runner.profile(1)
    return rows, kernels


def errors(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Percent: mean and largest error, share within 10 %."""
    error = 100 * np.abs(predicted / truth - 1)
    return {
        "mape_pct": float(error.mean()),
        "largest_pct": float(error.max()),
        "within_10_pct": float(100 * (error <= 10).mean()),
    }


def table(model: MemoryModel, rows: list[Record], kernels: Mapping[str, list[Kernel]]) -> dict[str, Record]:
    """The errors of each method on the rows."""
    peak, base, file, untuned = (
        np.array([row[name] for row in rows], dtype=np.float64)
        for name in ("peak_bytes", "baseline_bytes", "file_bytes", "peak_default_bytes")
    )
    ours = np.array([model.predict(kernels[r["key"]], r["file_bytes"]).peak_bytes for r in rows], dtype=float)
    return {
        "prediction, whole process": errors(ours, peak),
        "prediction, above the baseline": errors(ours - base, peak - base),
        "file x constant": errors(file * np.median(peak / file), peak),
        "baseline + file x constant": errors(base + file * np.median((peak - base) / file), peak),
        "prediction against the moving thresholds": errors(ours, untuned),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", nargs="?", default="development", choices=sorted(zoo.LISTS))
    parser.add_argument("--zoo", type=Path, help="a folder of ONNX files instead")
    parser.add_argument(
        "--networks", type=int, default=12, help="generated networks that the model is fitted to"
    )
    parser.add_argument("--target", default="host")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=zoo.CACHE)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    target = load_target(options.target)
    began = time.monotonic()
    made = {g.key: g.onnx() for g in generate(options.networks, options.seed)}
    model = fit_memory(*measured(target, made))
    print(f"fitted to {model.n} networks in {time.monotonic() - began:.0f} s: {json.dumps(model.to_json())}")
    files = (
        zoo.folder(options.zoo)
        if options.zoo
        else {e.name: zoo.exported(e, options.cache) for e in zoo.entries(options.which)}
    )
    rows: list[Record] = []
    kernels: dict[str, list[Kernel]] = {}
    for key, path in files.items():
        row, of_network = measured(target, {key: path.read_bytes()})
        rows, kernels = rows + row, {**kernels, **of_network}
        shown = model.predict(kernels[key], row[0]["file_bytes"]).peak_bytes / 1e6
        print(
            f"{key:32} file {row[0]['file_bytes'] / 1e6:7.1f} MB  peak {row[0]['peak_bytes'] / 1e6:7.1f}  "
            f"predicted {shown:7.1f}  moving thresholds {row[0]['peak_default_bytes'] / 1e6:7.1f}",
            flush=True,
        )
    large = [row for row in rows if row["file_bytes"] > LARGE_BYTES]
    result = {"all": table(model, rows, kernels), "above 20 MB": table(model, large, kernels)}
    for name, errors in result.items():
        print(f"\n{name} ({len(rows if name == 'all' else large)} networks)      MAPE   largest  within 10 %")
        for method, e in errors.items():
            print(f"{method:42} {e['mape_pct']:6.2f} {e['largest_pct']:8.1f} {e['within_10_pct']:8.0f}")
    if options.json:
        rows = [
            {**row, "prediction": model.predict(kernels[row["key"]], row["file_bytes"]).peak_bytes}
            for row in rows
        ]
        document = {"model": model.to_json(), "rows": rows, "result": result}
        options.json.write_text(json.dumps(document, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
