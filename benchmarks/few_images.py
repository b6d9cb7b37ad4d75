"""What the recipe for few images gains: 30 training images of a class of `scenes`, judged on all others.

    python -m benchmarks.few_images --seeds 1 2 3 --steps 600

One architecture of `mobile`, drawn with seed 0, trained by `standard` and by `few`, for as many steps and for
twice as many, which is the length of `few`. A seed draws the training images and the weights. Prints
validation and test accuracy and CPU seconds of each, and the paired differences to `standard` with a 95 %
interval (t).
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
from scipy import stats

from hwnas.data import Data, eval_batches, load_data
from hwnas.spaces import load_space
from hwnas.training.presets import STRONG_LONGER, few_changes
from hwnas.training.recipe import Recipe
from hwnas.training.train import eval_batch, score, train
from lut.home import data_home

PER_CLASS = 30


def few_of(root: Path, per_class: int, seed: int) -> Data:
    """`scenes` with so many training images of each class, drawn by seed; validation and test are whole."""
    whole = load_data("scenes", None, 0, root=root)
    splits, labels = whole.splits_json(), whole.labels[whole.split("train")].tolist()
    kept, dropped, seen = list[str](), list(splits["dropped"]), Counter[int]()
    for i in np.random.default_rng(seed).permutation(len(labels)):
        seen[labels[i]] += 1
        (kept if seen[labels[i]] <= per_class else dropped).append(splits["train"][i])
    return load_data("scenes", None, 0, root=root, splits={**splits, "train": kept, "dropped": dropped})


def trained(data: Data, steps: int, changes: Mapping[str, Any], seed: int) -> tuple[float, float, float]:
    """(validation accuracy, test accuracy, CPU seconds)."""
    space = load_space("mobile", **data.network_shape)
    module, began = space.build(space.sample(np.random.default_rng(0))), time.process_time()
    recipe = Recipe.for_data(len(data.split("train")))
    epochs = recipe.epochs_of(steps, len(data.split("train")))
    validation = train(module, data, replace(recipe, epochs=epochs, **changes), seed).val_accuracy
    test, _ = score(module, eval_batches(data, "test", eval_batch(data.area)))
    return validation, test, time.process_time() - began


def interval(differences: np.ndarray) -> str:
    """Mean and 95 % interval of paired differences (n,), in points."""
    mean, n = 100 * differences.mean(), len(differences)
    half = stats.t.ppf(0.975, n - 1) * 100 * differences.std(ddof=1) / np.sqrt(n)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--home", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        (name, steps)
        for steps in (options.steps, STRONG_LONGER * options.steps)
        for name in ("standard", "few")
    ]
    found: dict[tuple[str, int], list[tuple[float, float]]] = {row: [] for row in rows}
    for seed in options.seeds:
        data = few_of(data_home(options.home), PER_CLASS, seed)
        sizes = ", ".join(f"{len(data.split(name))} {name}" for name in ("train", "val", "test"))
        print(f"seed {seed}: {sizes} images", flush=True)
        changes = {"standard": {}, "few": few_changes(data.task, data.kind)}
        for name, steps in rows:
            validation, test, cpu_s = trained(data, steps, changes[name], seed)
            found[name, steps].append((validation, test))
            print(
                f"{name}, {steps} steps, seed {seed}: {100 * validation:.1f} % of validation, "
                f"{100 * test:.1f} % of test, {cpu_s:.0f} s",
                flush=True,
            )
    if len(options.seeds) > 1:
        base = np.array(found[rows[0]])
        for row in rows[1:]:
            validation, test = (np.array(found[row]) - base).T
            print(f"{row[0]}, {row[1]} steps: validation {interval(validation)}, test {interval(test)}")


if __name__ == "__main__":
    main()
