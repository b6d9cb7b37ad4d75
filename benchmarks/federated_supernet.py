"""Shared weights trained on four parts of digits, against those of one part and of all images.

    python -m benchmarks.federated_supernet --out federated-supernet.json

Architectures of `mobile`, drawn with seed 11, are scored by each on the same validation images, and trained
alone on all images, twice: how the two trainings rank them is the ceiling, and MACs are the floor. Every
supernet makes `--steps` steps; "same passes" a quarter of them in each part, so that every image is seen as
often as by the supernet of all images. Three averages of the same rounds: each weight over the parts that
trained it by the images they trained it with, over all parts by their images, and the first with the same
paths in all parts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.federated import N_PARTS, parts_of
from hwnas import supernets
from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.data import Augment, Batches, Data, load_data
from hwnas.evaluators import EvaluationFailed
from hwnas.evaluators.shared_weights import SharedWeights
from hwnas.federated.average import average, average_where_trained
from hwnas.federated.local_supernet import local_paths
from hwnas.gradient.warmup import make_supernet
from hwnas.networks.modes import state_of
from hwnas.spaces import load_space
from hwnas.supernets import Supernet
from hwnas.training.recipe import Recipe
from hwnas.training.train import train
from lut.home import data_home

BATCH_SIZE, ALONE_STEPS = 64, 150


@dataclass(frozen=True)
class Case:
    """A supernet: parts are dealt as `parts_of` says; share: of `--steps` that each part makes."""

    name: str
    parts: str = "iid"
    n_parts: int = N_PARTS
    share: float = 1.0
    averages: str = "where trained"
    same_paths: bool = False


CASES = (
    Case("one quarter alone", n_parts=1),
    Case("all images", parts="whole"),
    Case("federated"),
    Case("federated, plain average", averages="plain"),
    Case("federated, same paths", same_paths=True),
    Case("federated, same passes", share=1 / N_PARTS),
    Case("federated, by class", parts="by class"),
)


def accuracies_alone(data: Data, space: NetworkSpace, archs: Sequence[Arch], seed: int) -> list[float]:
    """Validation accuracy of each architecture, trained alone on all images."""
    n_train = len(data.split("train"))
    recipe = Recipe.short(n_train)
    recipe = replace(recipe, epochs=recipe.epochs_of(ALONE_STEPS, n_train))
    return [train(space.build(arch), data, recipe, seed).val_accuracy for arch in archs]


def shared(case: Case, data: Data, space: NetworkSpace, steps: int, seed: int) -> Supernet:
    """The supernet of a case; with one part there is nothing to average."""
    parts = [data] if case.parts == "whole" else parts_of(data, case.parts, seed)[: case.n_parts]
    batches = [
        Batches(part, "train", BATCH_SIZE, 100 * seed + i, Augment.for_data(part))
        for i, part in enumerate(parts)
    ]
    rounds = max(1, round(case.share * steps / np.mean([b.steps_per_epoch for b in batches])))
    supernet = supernets.make(space)
    supernet.load_state_dict(make_supernet(space, seed).state_dict())
    if len(parts) == 1:
        local_paths(supernet, space, data, batches[0], seed=seed, epochs=range(rounds), n_epochs=rounds)
        return supernet
    state = state_of(supernet)
    for number in range(rounds):
        states, trained, counts = [], [], []
        for i, own in enumerate(batches):
            supernet.load_state_dict(state)
            paths = seed if case.same_paths else 1000 * seed + i
            facts, images = local_paths(
                supernet, space, data, own, seed=paths, epochs=range(number, number + 1), n_epochs=rounds
            )
            states.append(state_of(supernet))
            trained.append(images)
            counts.append(float(facts["n_train"]))
        if case.averages == "plain":
            state = average(states, counts)
        else:
            state = average_where_trained(state, states, trained)
    supernet.load_state_dict(state)
    return supernet


def scores(supernet: Supernet, data: Data, space: NetworkSpace, archs: Sequence[Arch]) -> list[float]:
    """Validation accuracy of each architecture by the shared weights."""
    evaluate = SharedWeights.on(data, supernet, CostModel(space), seed=0, validation_images=2000)
    answers = evaluate(archs)
    return [0.0 if isinstance(a, EvaluationFailed) else a["val_accuracy"] for a in answers]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--archs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES])
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data("digits", 16, 0, root=data_home(options.home))
    space = load_space("mobile", **data.network_shape)
    rng = np.random.default_rng(11)
    archs = [space.sample(rng) for _ in range(options.archs)]
    alone = [accuracies_alone(data, space, archs, seed) for seed in (0, 1)]
    macs = CostModel(space).of(archs)["macs"].tolist()
    rows: dict[str, list[list[float]]] = {"alone": alone, "macs": [macs]}

    def report(name: str, values: Sequence[float], took_s: float) -> None:
        rho = " ".join(f"{spearmanr(values, ranked).statistic:.2f}" for ranked in alone)
        print(f"{name}: mean {100 * np.mean(values):.1f} %, Spearman {rho}, {took_s:.0f} s", flush=True)

    report("alone, seed 1", alone[1], time.process_time())
    print(f"MACs: Spearman {' '.join(f'{spearmanr(macs, ranked).statistic:.2f}' for ranked in alone)}")
    for seed in options.seeds:
        for case in (case for case in CASES if case.name in options.cases):
            began = time.process_time()
            supernet = shared(case, data, space, options.steps, seed)
            took_s = time.process_time() - began
            rows.setdefault(case.name, []).append(scores(supernet, data, space, archs))
            report(f"{case.name}, seed {seed}", rows[case.name][-1], took_s)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
