"""What many workers gain, and where the process that gives them work becomes the limit.

    python -m benchmarks.scaling [--workers 1 2 4] [--tasks 24] [--seconds 1.0] [--parent 10 100 1000]
                                 [--trainings 8] [--trained-by 1 2] [--epochs 6] [--repeats 2] [--json FILE]

Sleeping tasks on a Dask cluster of this machine, with TLS: seconds for all, per number of workers; tasks wait
and do not compute, so the machine's cores are no limit. Trainings of one thread each, all alike, which take
cores: the numbers of workers take turns, `--repeats` times; nothing else should run. The parent: workers are
simulated by an executor that is done at once, so that what is timed is a generation's proposals (nsga2 and bo
in the space `mobile`, and what bo is told before), and the giving out and taking back of their tasks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.costs.cost_model import CostModel
from hwnas.executors import Done, Executor, ExecutorTask, TaskOutcome, run_all
from hwnas.executors.cluster_file import Cluster
from hwnas.executors.clusters import open_cluster
from hwnas.executors.task import OnProgress
from hwnas.front import Problem, make_strategy
from hwnas.spaces import load_space
from hwnas.training.tasks import training_task
from hwnas.training.training_job import TrainingJob

TOLD = 100
"""Evaluations that a strategy knows when it is asked."""


class Instant:
    """An executor of workers that are done at once."""

    def submit(self, task: ExecutorTask, on_progress: OnProgress) -> Future[TaskOutcome]:
        future: Future[TaskOutcome] = Future()
        future.set_result(Done())
        return future

    def width(self, tasks: Sequence[ExecutorTask]) -> int:
        return len(tasks)

    def check(self) -> None:
        pass

    def abort(self) -> None:
        pass


def _tasks(folder: Path, n: int, seconds: float) -> list[ExecutorTask]:
    document = {"seconds": seconds}
    return [
        ExecutorTask(kind="sleep", name=f"t{i}", document=document, folder=folder / f"t{i}") for i in range(n)
    ]


def cluster_s(n_workers: int, n_tasks: int, seconds: float) -> float:
    """Wall seconds of sleeping tasks on so many workers, whose processes have been started before."""
    cluster = Cluster(kind="local", workers=n_workers)
    with tempfile.TemporaryDirectory() as folder, open_cluster(cluster, print) as executor:
        run_all(_tasks(Path(folder) / "warm", 2 * n_workers, 0.5), executor)
        return _all_s(_tasks(Path(folder), n_tasks, seconds), executor)


def trainings_s(n_workers: int, n_trainings: int, epochs: int) -> float:
    """Wall seconds of trainings on so many workers, which have loaded torch and the images before."""
    cluster = Cluster(kind="local", workers=n_workers)
    with tempfile.TemporaryDirectory() as folder, open_cluster(cluster, print) as executor:
        run_all(_trainings(Path(folder) / "warm", 2 * n_workers, 1), executor)
        return _all_s(_trainings(Path(folder), n_trainings, epochs), executor)


def _all_s(tasks: list[ExecutorTask], executor: Executor) -> float:
    began = time.monotonic()
    assert run_all(tasks, executor) == [Done()] * len(tasks)
    return time.monotonic() - began


def _trainings(folder: Path, n: int, epochs: int) -> list[ExecutorTask]:
    """Of one network on 1,000 digits; only their seeds differ."""
    space = {"name": "mobile", "image_size": 16, "in_channels": 1, "n_classes": 10, "width_mult": 0.25}
    network = {"space": space, "arch": "8:mb3e3/8:mb3e3/8:mb3e3/16:mb3e3/24:mb3e3"}
    data = {"spec": "digits", "image_size": 16, "seed": 0, "limit": 1000, "root": str(folder)}
    folder.mkdir(exist_ok=True)
    jobs = [
        TrainingJob(
            job_id=f"t{i}",
            network=network,
            data=data,
            recipe={"epochs": epochs, "batch_size": 64, "lr": 0.002},
            seed=i,
        )
        for i in range(n)
    ]
    return [training_task(job, folder) for job in jobs]


def _compare_trainings(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds per repeat and number of workers; the speed-up is over the first number, in the same repeat."""
    rows = []
    for repeat in range(options.repeats):
        first_s = None
        for n in options.trained_by:
            seconds = trainings_s(n, options.trainings, options.epochs)
            first_s = first_s or seconds
            rows.append({"repeat": repeat, "workers": n, "seconds": seconds, "speed_up": first_s / seconds})
            print(
                f"{n} workers: {options.trainings} trainings in {seconds:.2f} s, × {first_s / seconds:.2f}",
                flush=True,
            )
    return rows


def proposals_s(strategy_name: str, n: int, seed: int = 0) -> float:
    """Seconds of one generation of `n` architectures, `TOLD` evaluations known."""
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    costs = CostModel(space)
    problem = Problem.parse(["val_accuracy", "macs"], [])
    strategy = make_strategy(strategy_name, space, problem, population=n, seed=seed, costs_of=costs.of)
    rng = np.random.default_rng(seed)
    known = strategy.ask(TOLD) if strategy_name == "bo" else strategy.ask()
    values = costs.of(known)["macs"]
    accuracy = rng.uniform(0.5, 0.9, len(known))
    rows = [{"val_accuracy": float(a), "macs": float(m)} for a, m in zip(accuracy, values, strict=True)]
    strategy.tell(known, rows)
    began = time.perf_counter()
    strategy.ask()
    return time.perf_counter() - began


def dispatch_s(n: int) -> float:
    """Seconds to give out `n` tasks and take them back, with workers that are done at once."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run_all(_tasks(Path(folder), n, 0.0), Instant())
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--parent", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--trainings", type=int, default=0, help="how many, by each of --trained-by workers")
    parser.add_argument("--trained-by", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"cluster": [], "parent": []}
    for n in options.workers:
        seconds = cluster_s(n, options.tasks, options.seconds)
        first = result["cluster"][0]["seconds"] if result["cluster"] else seconds
        result["cluster"].append({"workers": n, "seconds": seconds, "speed_up": first / seconds})
        print(f"{n} workers: {options.tasks} tasks in {seconds:.2f} s, × {first / seconds:.2f}", flush=True)
    for n in options.parent:
        row = {"workers": n, "dispatch_s": dispatch_s(n), "nsga2_s": proposals_s("nsga2", n)}
        row["bo_s"] = proposals_s("bo", n)
        result["parent"].append(row)
        per_s = {name: n / row[f"{name}_s"] for name in ("nsga2", "bo", "dispatch")}
        print(f"{n} at a time: " + ", ".join(f"{k} {v:,.0f} per s" for k, v in per_s.items()), flush=True)
    if options.trainings:
        result["trainings"] = _compare_trainings(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
