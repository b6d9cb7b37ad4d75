"""Federated averaging against centralised training, on digits in four parts.

    python -m benchmarks.federated --seeds 0 1 2 --out federated.json

Parts are drawn at random (iid), or sorted by class, so that each has two or three of the ten. A part trains
one epoch a round. "Same passes": every image is seen as often as in the centralised training, so that a part
makes a quarter of its steps one after the other; "same steps": four times the passes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hwnas.data import Data, eval_batches, load_data
from hwnas.data.splits import Split
from hwnas.federated.average import average
from hwnas.federated.local import local_epochs
from hwnas.spaces import load_space
from hwnas.training.initial_weights import begin
from hwnas.training.recipe import Recipe
from hwnas.training.train import score
from lut.home import data_home

N_PARTS = 4
CASES = (("iid", 1), ("by class", 1), ("iid", N_PARTS), ("by class", N_PARTS))


def parts_of(data: Data, case: str, seed: int) -> list[Data]:
    """The training images in four parts of one size, give or take one."""
    train = np.random.default_rng(seed).permutation(data.split("train"))
    if case == "by class":
        train = train[np.argsort(data.labels[train], kind="stable")]
    parts = []
    for chosen in np.array_split(train, N_PARTS):
        assignment = np.full(len(data.labels), -1, np.int8)
        assignment[chosen] = 0
        parts.append(replace(data, _split=Split(assignment)))
    return parts


def accuracy(data: Data, parts: Sequence[Data], epochs: int, seed: int) -> float:
    """Test accuracy after so many rounds; with one part this is centralised training."""
    space = load_space("mobile", **data.network_shape)
    arch = space.sample(np.random.default_rng(7))  # the same network for all
    module, recipe = space.build(arch), Recipe.for_data(len(data.split("train")), epochs)
    begin(module, seed, None, residual_init=recipe.residual_init)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if len(parts) == 1:
        local_epochs(module, parts[0], recipe, seed, range(epochs))
    else:
        for epoch in range(epochs):
            states, counts = [], []
            for number, part in enumerate(parts):
                module.load_state_dict(state)
                facts = local_epochs(module, part, recipe, seed + 1000 * number, range(epoch, epoch + 1))
                states.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
                counts.append(float(facts["n_train"]))
            state = average(states, counts)
        module.load_state_dict(state)
    return score(module, eval_batches(data, "test", 256), data.task)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[float]] = {}
    for seed in args.seeds:
        data = load_data("digits", 16, seed, root=data_home(None))
        rows.setdefault("centralised", []).append(accuracy(data, [data], args.epochs, seed))
        for case, longer in CASES:
            name = f"{case}, same {'passes' if longer == 1 else 'steps'}"
            parts = parts_of(data, case, seed)
            rows.setdefault(name, []).append(accuracy(data, parts, longer * args.epochs, seed))
            print(f"seed {seed}: {name}: {rows[name][-1]:.4f}", flush=True)
    for name, values in rows.items():
        print(f"{name:24} {np.mean(values):.4f}  {' '.join(f'{value:.4f}' for value in values)}")
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
