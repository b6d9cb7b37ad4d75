"""Two tasks in one network, beside two networks that learn one each: which digit, and how far it is turned.

    python -m benchmarks.several_tasks --seeds 0 --epochs 30

One architecture of `mobile`, drawn with seed 0, trained on `tilted` by the recipe of a search: on the digit
alone, on the tilt alone, and on both with equal weights and with uncertainty.
Prints a row for each training: test scores of its heads, MACs and CPU seconds, below the trivial answers.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hwnas.costs.cost_model import CostModel
from hwnas.data import Data, eval_batches, load_data
from hwnas.spaces import load_space
from hwnas.training.recipe import Recipe
from hwnas.training.train import eval_batch, outputs_of, train
from lut.home import data_home

BOTH = "classification:digit+regression:tilt"
TASKS = ("classification", "regression", BOTH, f"{BOTH}+weights:uncertainty")


def scores(data: Data, epochs: int, seed: int) -> dict[str, float]:
    """Every metric on the test images, MACs and CPU seconds."""
    space = load_space("mobile", **data.network_shape)
    arch = space.sample(np.random.default_rng(0))
    module, began = space.build(arch), time.process_time()
    train(module, data, replace(Recipe.for_data(len(data.split("train"))), epochs=epochs), seed)
    outputs = outputs_of(module, eval_batches(data, "test", eval_batch(data.area)), data.task)
    metrics = data.task.metrics(data.task.answers(outputs.kept), outputs.labels)
    macs = float(CostModel(space).of([arch])["macs"][0])
    return {**metrics, "macs": macs, "cpu_s": time.process_time() - began}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--home", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for task in TASKS:
        data = load_data("tilted", None, 0, root=data_home(options.home), task=task)
        words, trivial = data.task.trivial(data.labels[data.split("train")], data.labels[data.split("test")])
        print(f"{task}: trivial {trivial:.4f} ({words})", flush=True)
        for seed in options.seeds:
            found = scores(data, options.epochs, seed)
            print(f"  seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items()), flush=True)


if __name__ == "__main__":
    main()
