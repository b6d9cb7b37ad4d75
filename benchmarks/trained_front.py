"""Which search finds the better trained front in equal CPU time? Real short trainings on a folder of images.

    python -m benchmarks.trained_front IMAGES OUT [--seeds 0 1 2] [--cpu-s 240] [--epochs 3] [--limit 8000]

In the space `mobile` at 32 px, accuracy against MACs, each method with the same CPU time per seed:

    bo               the Bayesian search; every evaluation is a short training
    random           different random architectures, each trained shortly
    shared-weights   0.4 of the time trains a supernet, 0.2 goes to NSGA-II with its weights; then the front
                     that it found, spread over MACs, is trained shortly until the time is used up

A training of an architecture is made once and serves every method and seed; each method pays its CPU time.
What a method trained within its time is scored by hypervolume, reference (1, 1), of (validation error / error
of guessing, log MACs from 0 for the smallest to 1 for the largest of 2,000 random architectures). OUT keeps
the trainings: a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr, t

from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.data import Augment, Batches, Data, load_data
from hwnas.evaluators.shared_weights import SharedWeights
from hwnas.executors import Executor, LocalExecutor
from hwnas.front import Problem, choose_picks, hypervolume, make_strategy, non_dominated, run
from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.spaces import load_space
from hwnas.training.recipe import Recipe
from hwnas.training.workers import Trained, TrainingJob, run_many

MACS_OF = 2000
_SUPERNET, _SEARCHED = 0.4, 0.6
"""Shares of the time after which the shared weights are trained, and the search with them ends."""
_TIMED = 100
OBJECTIVES = ("val_accuracy", "macs")


@dataclass
class Truth:
    """Short trainings of architectures, each made once, whoever asks."""

    space: NetworkSpace
    data: Data
    recipe: Recipe
    where: dict[str, Any]
    folder: Path
    executor: Executor
    known: dict[str, Trained] = field(default_factory=dict)

    def __call__(self, arch: Arch) -> Trained:
        """The training of an architecture; that of an earlier call, or run, where there was one."""
        key = self.space.key(arch)
        if key not in self.known:
            job = TrainingJob(
                job_id=self.space.arch_id(arch),
                network={"space": self.space.spec(), "arch": key},
                data=self.where,
                recipe=self.recipe.to_json(),
                seed=0,
            )
            outcome = run_many([job], self.folder, self.executor)[0]
            assert isinstance(outcome, Trained), outcome
            self.known[key] = outcome
        return self.known[key]


@dataclass
class Spending:
    """What one method trained with one seed, until its CPU time was used up."""

    truth: Truth
    costs: CostModel
    limit_cpu_s: float
    cpu_s: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def train(self, arch: Arch) -> float | None:
        """Validation accuracy; None where the training would have ended after the time."""
        trained = self.truth(arch)
        self.cpu_s += trained.cpu_s
        if self.cpu_s > self.limit_cpu_s:
            return None
        macs = float(self.costs.of([self.truth.space.canonical(arch)])["macs"][0])
        key = self.truth.space.key(arch)
        self.rows.append(
            {"arch": key, "val_accuracy": trained.val_accuracy, "macs": macs, "cpu_s": self.cpu_s}
        )
        return trained.val_accuracy


def bayesian(spending: Spending, seed: int) -> None:
    """`bo`, two at a time as in a search on two cores."""
    costs, out_of_time = spending.costs, False

    def evaluate(archs: Sequence[Arch]) -> list[dict[str, float]]:
        nonlocal out_of_time
        rows = []
        macs = costs.of(archs)["macs"]
        for arch, cost in zip(archs, macs, strict=True):
            accuracy = None if out_of_time else spending.train(arch)
            out_of_time = accuracy is None
            rows.append({"val_accuracy": accuracy or 0.0, "macs": float(cost)})
        return rows

    strategy = make_strategy(
        "bo",
        spending.truth.space,
        Problem.parse(OBJECTIVES),
        population=2,
        seed=seed,
        costs_of=costs.of,
        n_images=len(spending.truth.data.split("val")),
    )
    started = time.process_time()
    run(strategy, evaluate, stop=lambda: out_of_time)
    spending.cpu_s += time.process_time() - started


def random_search(spending: Spending, seed: int) -> None:
    """Different architectures, uniform."""
    for arch in _random(spending.truth.space, seed):
        if spending.train(arch) is None:
            return


def _random(space: NetworkSpace, seed: int) -> Iterator[Arch]:
    rng, seen = np.random.default_rng([seed, 1]), set[str]()
    while True:
        arch = space.sample(rng)
        if space.key(arch) not in seen:
            seen.add(space.key(arch))
            yield arch


def shared_weights(spending: Spending, seed: int) -> None:
    """A supernet, NSGA-II on its weights, then trainings of its front."""
    truth, costs = spending.truth, spending.costs
    started = time.process_time()
    supernet = _supernet(truth, costs, seed, _SUPERNET * spending.limit_cpu_s)
    evaluator = SharedWeights.on(truth.data, supernet, costs, seed=seed)
    strategy = make_strategy(
        "nsga2", truth.space, Problem.parse(OBJECTIVES), population=20, seed=seed, costs_of=costs.of
    )
    until = started + _SEARCHED * spending.limit_cpu_s
    run(strategy, evaluator, stop=lambda: time.process_time() > until)
    spending.cpu_s = time.process_time() - started
    found = strategy.history.front()
    archs = [truth.space.from_string(trial.arch) for trial in found]
    macs = [trial.metrics["macs"] for trial in found]
    accuracy = [trial.metrics["val_accuracy"] for trial in found]
    mean_cpu_s = np.mean([trained.cpu_s for trained in truth.known.values()])
    trained: set[int] = set()
    for n in range(max(1, int((spending.limit_cpu_s - spending.cpu_s) / mean_cpu_s)), len(found) + 1):
        for pick in choose_picks(macs, accuracy, n):
            if pick.index in trained:
                continue
            trained.add(pick.index)
            if spending.train(archs[pick.index]) is None:
                return


def _supernet(truth: Truth, costs: CostModel, seed: int, cpu_s: float) -> Any:
    """Shared weights trained for a CPU time: as many steps as a hundred first ones say."""
    recipe, data = truth.recipe, truth.data
    train = Batches(data, "train", recipe.batch_size, seed, Augment.for_data(data), "cpu")

    def warmup(steps: int) -> Warmup:
        return Warmup(
            space=truth.space,
            supernet=make_supernet(truth.space, seed),
            train=train,
            settings=WarmupSettings(steps=steps, epoch_steps=train.steps_per_epoch, seed=seed),
            macs=lambda archs: costs.of(archs)["macs"],
            device="cpu",
        )

    started = time.process_time()
    warmup(_TIMED).run()
    step_s = (time.process_time() - started) / _TIMED
    whole = warmup(max(1, math.floor(cpu_s / step_s) - _TIMED))
    whole.run()
    return whole.supernet


METHODS: dict[str, Callable[[Spending, int], None]] = {
    "bo": bayesian,
    "random": random_search,
    "shared-weights": shared_weights,
}


def score(rows: Sequence[dict[str, Any]], chance: float, macs: tuple[float, float]) -> float:
    """Hypervolume of trained networks, between 0 and 1."""
    low, high = map(math.log, macs)
    points = [
        ((1 - r["val_accuracy"]) / (1 - chance), max(0.0, (math.log(r["macs"]) - low) / (high - low)))
        for r in rows
    ]
    return hypervolume(points, (1.0, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="a folder or archive of images")
    parser.add_argument("out", type=Path, help="where the trainings are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cpu-s", type=float, default=240.0, help="per method and seed (default: 240)")
    parser.add_argument("--epochs", type=int, default=3, help="of a short training (default: 3)")
    parser.add_argument("--limit", type=int, default=8000, help="images (default: 8000)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = str(options.images.resolve())
    data = load_data(images, 32, 0, root=options.out, limit=options.limit)
    space = load_space("mobile", image_size=32, in_channels=data.in_channels, n_classes=data.n_classes)
    costs = CostModel(space, None)
    rng = np.random.default_rng(0)
    drawn = costs.of([space.sample(rng) for _ in range(MACS_OF)])["macs"]
    extent = (float(drawn.min()), float(drawn.max()))
    recipe = Recipe.short(len(data.split("train")), options.epochs)
    options.out.mkdir(parents=True, exist_ok=True)
    splits = options.out / "splits.json"
    splits.write_text(json.dumps(data.splits_json()))
    where = {
        "spec": images,
        "image_size": 32,
        "seed": 0,
        "root": str(options.out.resolve()),
        "splits_file": str(splits.resolve()),
    }
    print(
        f"{len(data.split('train'))} images to train, {len(data.split('val'))} to validate, {options.epochs} "
        f"epochs of {recipe.steps_per_epoch(len(data.split('train')))} steps; {options.cpu_s:g} CPU-s each"
    )
    results: list[dict[str, Any]] = []
    with LocalExecutor(1) as workers:
        truth = Truth(space, data, recipe, where, options.out / "trainings", workers)
        for seed in options.seeds:
            for name, method in METHODS.items():
                spending = Spending(truth, costs, options.cpu_s)
                method(spending, seed)
                value = score(spending.rows, 1 / data.n_classes, extent)
                results.append({"method": name, "seed": seed, "hypervolume": value, "rows": spending.rows})
                (options.out / "results.json").write_text(json.dumps(results, indent=1))
                best = max((r["val_accuracy"] for r in spending.rows), default=0.0)
                print(
                    f"{name:15} seed {seed}: hypervolume {value:.4f}, {len(spending.rows)} trained, "
                    f"best {best:.1%}",
                    flush=True,
                )
    _summarise(results, truth, costs, 1 / data.n_classes, extent)


def _summarise(
    results: Sequence[dict[str, Any]],
    truth: Truth,
    costs: CostModel,
    chance: float,
    extent: tuple[float, float],
) -> None:
    """Paired differences of bo from the others, and what all trainings together reached."""
    values = {name: np.array([r["hypervolume"] for r in results if r["method"] == name]) for name in METHODS}
    for name, scores in values.items():
        if name == "bo" or len(scores) < 2:
            continue
        difference = values["bo"] - scores
        half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / math.sqrt(len(difference))
        mean = difference.mean()
        print(f"bo - {name}: {mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]")
    keys = list(truth.known)
    macs = costs.of([truth.space.from_string(key) for key in keys])["macs"]
    rows = [
        {"val_accuracy": truth.known[key].val_accuracy, "macs": float(cost)}
        for key, cost in zip(keys, macs, strict=True)
    ]
    accuracy = [r["val_accuracy"] for r in rows]
    front = non_dominated(np.array([[1 - r["val_accuracy"], r["macs"]] for r in rows]))
    correlation = spearmanr(accuracy, macs).statistic
    print(
        f"{len(rows)} architectures trained in all; hypervolume {score(rows, chance, extent):.4f}, "
        f"{int(front.sum())} on the front; "
        f"rank correlation of accuracy and MACs {correlation:.2f}"
    )


if __name__ == "__main__":
    main()
