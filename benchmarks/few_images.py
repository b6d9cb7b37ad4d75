"""What the recipe for few images gains: 30 training images of a class of `scenes`, tested on all test images.

    python -m benchmarks.few_images --seeds 0 --steps 600

One architecture of `mobile`, drawn with seed 0, trained by `standard`, by `few` for as many steps, and by
`few` for twice as many, which is its length. Prints test accuracy and CPU seconds of each.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnas.data import Data, eval_batches, load_data
from hwnas.spaces import load_space
from hwnas.training.presets import STRONG_LONGER, few_changes
from hwnas.training.recipe import Recipe
from hwnas.training.train import eval_batch, score, train
from lut.home import data_home

PER_CLASS = 30


def few_of(root: Path, per_class: int) -> Data:
    """`scenes` with the first training images of each class alone; validation and test as they are."""
    whole = load_data("scenes", None, 0, root=root)
    splits, labels = whole.splits_json(), whole.labels[whole.split("train")].tolist()
    kept, dropped, seen = list[str](), list(splits["dropped"]), Counter[int]()
    for name, label in zip(splits["train"], labels, strict=True):
        seen[label] += 1
        (kept if seen[label] <= per_class else dropped).append(name)
    return load_data("scenes", None, 0, root=root, splits={**splits, "train": kept, "dropped": dropped})


def trained(data: Data, steps: int, changes: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """(test accuracy, CPU seconds)."""
    space = load_space("mobile", **data.network_shape)
    module, began = space.build(space.sample(np.random.default_rng(0))), time.process_time()
    recipe = Recipe.for_data(len(data.split("train")))
    epochs = recipe.epochs_of(steps, len(data.split("train")))
    train(module, data, replace(recipe, epochs=epochs, **changes), seed)
    accuracy, _ = score(module, eval_batches(data, "test", eval_batch(data.area)))
    return accuracy, time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--home", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = few_of(data_home(options.home), PER_CLASS)
    few = few_changes(data.task, data.kind)
    rows: tuple[tuple[str, int, Mapping[str, Any]], ...] = (
        ("standard", options.steps, {}),
        ("few", options.steps, few),
        ("few", STRONG_LONGER * options.steps, few),
    )
    print(f"{len(data.split('train'))} training images, {len(data.split('test'))} test images", flush=True)
    for name, steps, changes in rows:
        for seed in options.seeds:
            accuracy, cpu_s = trained(data, steps, changes, seed)
            print(f"{name}, {steps} steps, seed {seed}: {100 * accuracy:.1f} %, {cpu_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
