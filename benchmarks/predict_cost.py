"""Time of a prediction: `hwnas predict` of one network, and latencies of a population from a table.

    python -m benchmarks.predict_cost [--home DIR] [--target host] [--repeats 5] [--json FILE] [MODEL ...]

A network: CPU-seconds of a process that loads the predictor and predicts, less those of a process that loads
the network in the runtime and runs it once; and CPU- and wall-seconds of the whole command `hwnas predict
MODEL`, from the start of the process to its end. Each is the least of --repeats. A population: the median
CPU-milliseconds of the costs of 1,000 architectures of the space `mobile`, from a table. Needs a stored
predictor (`hwnas profile --target host`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lut.home import data_home

PREDICT = """
import sys, lut
prediction = lut.load_predictor(sys.argv[2], sys.argv[3]).predict(sys.argv[1])
print(prediction.latency_ms)
"""

RUN_ONCE = """
import sys, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}
session.run(None, given)
"""

AT_MOST_S, AT_MOST_MS, POPULATION = 1.0, 10.0, 1000


class Flat:
    """A latency table in which every block costs the same: only the look-up is timed."""

    intercept_ms = 0.1
    square_ms_per_mb2 = 1e-4

    def latency_ms(self, key: str) -> float:
        return 0.1

    def weight_mb(self, key: str) -> float:
        return 0.01


def least_s(arguments: Sequence[str], repeats: int) -> tuple[float, float]:
    """(CPU-seconds, user and system, wall-seconds) of Python with these arguments, each the least found."""
    cpu_s, wall_s = [], []
    for _ in range(repeats):
        before_s, began = _children_s(), time.monotonic()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE)
        wall_s.append(time.monotonic() - began)
        cpu_s.append(_children_s() - before_s)
    return min(cpu_s), min(wall_s)


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def one_network(model: Path, target: str, home: Path, repeats: int) -> dict[str, float]:
    """Seconds of predicting, of loading and running once, of the difference, and of the whole command."""
    run_s, _ = least_s(["-c", RUN_ONCE, str(model)], repeats)
    predict_s, _ = least_s(["-c", PREDICT, str(model), target, str(home)], repeats)
    command = ["-m", "cli", "predict", str(model), "--target", target, "--home", str(home)]
    command_s, command_wall_s = least_s(command, repeats)
    return {
        "predict_cpu_s": predict_s,
        "run_once_cpu_s": run_s,
        "beyond_cpu_s": predict_s - run_s,
        "command_cpu_s": command_s,
        "command_wall_s": command_wall_s,
    }


def population_ms(repeats: int) -> float:
    """The median CPU-milliseconds of the costs of 1,000 architectures."""
    from hwnas.costs.cost_model import CostModel
    from hwnas.spaces import load_space

    space = load_space("mobile", image_size=224, in_channels=3, n_classes=10)
    costs, rng = CostModel(space, Flat()), np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(POPULATION)]
    found = []
    for _ in range(repeats):
        began = time.process_time()
        costs.of(archs)
        found.append(1e3 * (time.process_time() - began))
    return float(np.median(found))


def example(folder: Path) -> Path:
    """A network of the space `mobile` at 224 px."""
    from hwnas.pipeline.networks import arch_onnx
    from hwnas.spaces import load_space

    space = load_space("mobile", image_size=224, in_channels=3, n_classes=10)
    path = folder / "mobile.onnx"
    path.write_bytes(arch_onnx(space, space.sample(np.random.default_rng(0))))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, help="default: a random network of `mobile`")
    parser.add_argument("--home", type=Path, default=data_home(None))
    parser.add_argument("--target", default="host")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hwnas-cost-") as folder:
        models = options.models or [example(Path(folder))]
        networks: dict[str, dict[str, float]] = {
            model.stem: one_network(model, options.target, options.home, options.repeats) for model in models
        }
    result: dict[str, Any] = {
        "cpu": os.uname().machine,
        "networks": networks,
        "population": POPULATION,
        "population_cpu_ms": population_ms(4 * options.repeats),
    }
    for name, one in networks.items():
        print(name, *(f"  {key:16} {value:6.2f}" for key, value in one.items()), sep="\n")
    print(f"{POPULATION} architectures: {result['population_cpu_ms']:.1f} ms of CPU time")
    within = max(one["beyond_cpu_s"] for one in networks.values()) <= AT_MOST_S
    print("passed" if within and result["population_cpu_ms"] <= AT_MOST_MS else "not passed")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
