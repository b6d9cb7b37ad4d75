"""What rate and length suit few and many images, and what the strong recipe and distillation add.

    python -m benchmarks.recipes ARCHIVE FOLDER --part rates --images 500 --epochs 25 100
    python -m benchmarks.recipes ARCHIVE FOLDER --part recipes --images 4000 --epochs 10 --seeds 0 1 2

ARCHIVE is a zip of `cifar10/{train,test}/<class>/*.jpg`. The network is one that `hwnas search` chose
(`benchmarks.int8.SEARCHED`), its teacher the same architecture of four times the width. A row of
FOLDER/rows.jsonl is one training; what is there is not trained again. Prints tables; test accuracy is on all
10,000 test images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import nn

from benchmarks.cifar_subset import cifar_subset
from benchmarks.int8 import SEARCHED
from hwnas.data import Data, eval_batches, load_data
from hwnas.spaces import load_space
from hwnas.training.presets import STRONG
from hwnas.training.recipe import Recipe
from hwnas.training.teacher import NetworkTeacher
from hwnas.training.train import eval_batch, score, train

WIDTH, TEACHER_WIDTH = 0.5, 2.0
"""Of the channels of one architecture of `mobile`: of the pupil, as it was found, and of its teacher."""

FOUND, FOUND_PX = "searched-2", 32
"""The architecture, and the side of the images that it was found for."""

N_TEST = 10_000


def network(data: Data, width: float) -> nn.Module:
    """The architecture for these images."""
    found, wanted = (load_space("mobile", **data.network_shape, width_mult=w) for w in (WIDTH, width))
    return wanted.build(found.from_string(SEARCHED[FOUND]))  # by the places of its options


class Rows:
    """Trainings by what they are of, kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self._known = {json.dumps(row["of"], sort_keys=True): row for row in map(json.loads, lines)}

    def get(
        self, data: Data, recipe: Recipe, seed: int, *, width: float = WIDTH, teacher: nn.Module | None = None
    ) -> tuple[Mapping[str, Any], nn.Module | None]:
        """(the row, the network where it was trained just now)."""
        of = {
            "n_train": len(data.split("train")), "size": data.image_size, "recipe": recipe.to_json(),
            "seed": seed, "width": width, "network": FOUND,
        }  # fmt: skip
        key = json.dumps(of, sort_keys=True)
        if key in self._known:
            return self._known[key], None
        module, began = network(data, width), time.process_time()
        taught_by = None if teacher is None else NetworkTeacher(teacher, "cpu")
        result = train(module, data, recipe, seed, teacher=taught_by)
        cpu_s = time.process_time() - began
        test, _ = score(module, eval_batches(data, "test", eval_batch(data.area)))
        steps = result.epochs[-1].step
        row = {"of": of, "steps": steps, "val": result.val_accuracy, "test": test, "cpu_s": cpu_s}
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self._known[key] = row
        return row, module


def rates(rows: Rows, data: Data, options: argparse.Namespace) -> None:
    """Rates, warm-ups and lengths."""
    base = Recipe.for_data(len(data.split("train")))
    columns = ("images", "batch", "steps", "lr", "warm-up", "validation", "test", "CPU-s")
    print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
    for epochs, lr, warmup in itertools.product(options.epochs, options.lr or [base.lr], options.warmup):
        recipe = replace(base, epochs=epochs, lr=lr, warmup_share=warmup)
        done = [rows.get(data, recipe, seed)[0] for seed in options.seeds]
        val, test = (np.mean([row[key] for row in done]) for key in ("val", "test"))
        print(
            f"| {len(data.split('train'))} | {recipe.batch_size} | {done[0]['steps']} | {lr} | {warmup} "
            f"| {100 * val:.1f} | {100 * test:.1f} | {done[0]['cpu_s']:.0f} |",
            flush=True,
        )


def recipes(rows: Rows, data: Data, options: argparse.Namespace) -> None:
    """Each part of the strong recipe alone, all of it, and distillation, against the standard recipe."""
    base = replace(Recipe.for_data(len(data.split("train"))), epochs=options.epochs[0])
    parts: dict[str, dict[str, Any]] = {
        "standard": {},
        **({name: {name: value} for name, value in STRONG.items()} if options.each else {}),
        "strong": dict(STRONG),
        "distilled": {"distil": 0.5},
        "strong, distilled": {**STRONG, "distil": 0.5},
    }
    teachers: dict[int, nn.Module] = {}
    scores: dict[str, list[float]] = {name: [] for name in parts}
    for seed, (name, changes) in itertools.product(options.seeds, parts.items()):
        teacher = None
        if "distil" in changes:
            if seed not in teachers:
                row, module = rows.get(data, base, seed, width=TEACHER_WIDTH)
                teachers[seed] = module or _again(data, base, seed)
                print(f"teacher of seed {seed}: test {100 * row['test']:.1f} %", flush=True)
            teacher = teachers[seed]
        row, _ = rows.get(data, replace(base, **changes), seed, teacher=teacher)
        scores[name].append(100 * row["test"])
        print(f"seed {seed}, {name}: {scores[name][-1]:.1f} % in {row['cpu_s']:.0f} CPU-s", flush=True)
    print(f"| recipe ({base.epochs} epochs) | test | over standard, paired, 95 % interval |\n|---|---|---|")
    for name, values in scores.items():
        gains = np.subtract(values, scores["standard"])
        half = (
            student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
            if len(gains) > 1
            else 0
        )
        print(f"| {name} | {np.mean(values):.1f} % | {gains.mean():+.1f} ({gains.mean() - half:+.1f} to "
              f"{gains.mean() + half:+.1f}) |")  # fmt: skip


def _again(data: Data, recipe: Recipe, seed: int) -> nn.Module:
    """The teacher of a row that was read: only its figures were kept."""
    module = network(data, TEACHER_WIDTH)
    train(module, data, recipe, seed)
    return module


def main() -> None:
    """One part on one number of images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("rates", "recipes"), required=True)
    parser.add_argument("--images", type=int, default=500, help="training images")
    parser.add_argument("--epochs", type=int, nargs="+", default=[12])
    parser.add_argument("--lr", type=float, nargs="*", default=[])
    parser.add_argument("--warmup", type=float, nargs="+", default=[0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--each", action="store_true", help="each part of the strong recipe alone too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    n_all = round(options.images / (1 - VAL_SHARE))
    images = cifar_subset(options.archive, options.folder / f"images-{n_all}", n_all, N_TEST)
    data = load_data(str(images), FOUND_PX, 0, root=options.folder / "home", val_share=VAL_SHARE)
    {"rates": rates, "recipes": recipes}[options.part](Rows(options.folder / "rows.jsonl"), data, options)


VAL_SHARE = 0.1

if __name__ == "__main__":
    main()
