"""Half of the latency of a trained MobileNetV2: widths by a knapsack, against the same share of every layer.

    nice python -m benchmarks.shrinking ARCHIVE FOLDER --home HOME

ARCHIVE is a zip of `cifar10/{train,test}/<class>/*.jpg`; HOME holds a profile of this machine, which
`hwnas profile` makes. For each seed a MobileNetV2 is trained on a part of CIFAR-10. It then loses channels to
about half of its measured latency in two ways, by the same importance of channels: one share of all groups,
the width multiplier, and widths by `hwnas shrink`'s knapsack within the latency that the multiplier measures.
Both learn again for the same epochs from the answers of the whole network. A third arm has the shapes of the
width multiplier and begins with random weights. A finished seed is rows of FOLDER/rows.jsonl and not done
again. Prints a table; differences are paired by seed, with a 95 % interval.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from scipy.stats import t as student
from torch import nn

import lut
from benchmarks.cifar_subset import cifar_subset
from hwnas.data import Batches, Data, eval_batches, load_data
from hwnas.data.batches import EvalBatches
from hwnas.exporting.export import onnx_bytes
from hwnas.shrinking.choose import Choices, choose
from hwnas.shrinking.coupling import ChannelGroup
from hwnas.shrinking.importance import importance
from hwnas.shrinking.latency import LatencyModel, kernel_times
from hwnas.shrinking.prune import pruned
from hwnas.shrinking.sensitivity import added_loss, mean_loss, narrower, removed_at, widths_of
from hwnas.shrinking.trace import trace
from hwnas.training.known import build_known
from hwnas.training.recipe import Recipe
from hwnas.training.teacher import NetworkTeacher
from hwnas.training.train import eval_batch, score, train
from lut.predictor.asked_kernels import KernelProcess
from targets import load_target
from targets.files import read_json, write_json

N_TEST, VAL_SHARE, SHARE = 2_000, 0.2, 0.5
ARMS = ("knapsack", "width multiplier", "multiplier, from scratch")
CORRECTIONS = 5


def build(data: Data) -> nn.Module:
    """For 32 px: the first stride is 1. Its norms follow short trainings."""
    module = build_known("torchvision:mobilenet_v2", data.n_classes)
    next(m for m in module.modules() if isinstance(m, nn.Conv2d)).stride = (1, 1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.1
    return module.eval()


class Device:
    """This machine: predicted kernels of every width, kept in a file, and measurements."""

    def __init__(self, data: Data, groups: tuple[ChannelGroup, ...], folder: Path, home: Path) -> None:
        self._shape = (1, data.in_channels, data.image_size, data.image_size)
        self._groups, self._file, self._home = groups, folder / "times.json", home
        self._target = load_target("host")

    def measured_ms(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Side by side."""
        files = {name: onnx_bytes(module, self._shape) for name, module in modules.items()}
        rows = lut.measure(self._target, dict(files), home=self._home, log=lambda text: None)
        return {name: row.p50_ms for name, row in rows.items()}

    def model(self, module: nn.Module) -> LatencyModel:
        """Of the shapes alone, so that it serves every seed."""
        known = read_json(self._file, "the times of widths") if self._file.exists() else {}
        predictor = lut.load_predictor(self._target, self._home)
        with KernelProcess() as process:

            def times(name: str, network: nn.Module) -> dict[str, float]:
                if name not in known:
                    known[name] = kernel_times(
                        predictor.predict(onnx_bytes(network, self._shape), process=process)
                    )
                    write_json(self._file, known)
                row: dict[str, float] = known[name]
                return row

            whole = times("whole", module)
            narrower = {
                group.name: {
                    width: times(f"{group.name} {width}", _narrow(module, group, width))
                    for width in widths_of(group.size)[1:]
                }
                for group in self._groups
            }
        measured_ms = self.measured_ms({"whole": module})["whole"]
        return LatencyModel.of(whole, narrower, measured_ms / sum(whole.values()))


def _narrow(module: nn.Module, group: ChannelGroup, width: int) -> nn.Module:
    return pruned(module, [group], {group.name: np.arange(width, group.size)})


def multiplied(groups: tuple[ChannelGroup, ...], share: float) -> dict[str, int]:
    """The width of each group that is nearest to this share of it."""
    return {g.name: min(widths_of(g.size), key=lambda w: abs(w - share * g.size)) for g in groups}


class Seed:
    """One trained network, and what becomes of it."""

    def __init__(self, data: Data, device: Device, seed: int, options: argparse.Namespace) -> None:
        self._data, self._device, self._seed, self._options = data, device, seed, options
        n_train = len(data.split("train"))
        self._recipe = replace(Recipe.for_data(n_train, options.epochs), lr=0.05, clip=5.0)
        self.module = build(data)
        weights = options.folder / f"whole-{seed}.safetensors"
        if not weights.exists():
            train(self.module, data, self._recipe, seed)
            weights.write_bytes(save({k: v.contiguous() for k, v in self.module.state_dict().items()}))
        self.module.load_state_dict(load(weights.read_bytes()))
        self.module.eval()

    def test(self, module: nn.Module) -> float:
        """In percent."""
        size = eval_batch(self._data.area)
        return 100 * score(module, eval_batches(self._data, "test", size))[0]

    def networks(self, groups: tuple[ChannelGroup, ...]) -> tuple[dict[str, nn.Module], float]:
        """(the network of each arm before it learns, the budget in milliseconds)."""
        data = self._data
        batches = Batches(data, "train", 32, self._seed)
        loss = data.task.loss
        scores = importance(self.module, groups, (batches.at(i) for i in range(16)), loss)
        images = EvalBatches(data, "val", eval_batch(data.area), self._options.images)
        whole_loss = mean_loss(self.module, images, loss)
        choices = {}
        for group in groups:
            widths = widths_of(group.size)
            narrow = (narrower(self.module, group, scores[group.name], width) for width in widths[1:])
            losses = [whole_loss, *(mean_loss(network, images, loss) for network in narrow)]
            choices[group.name] = Choices(widths=widths, losses=added_loss(losses))
        model = self._device.model(self.module)
        half_ms = SHARE * model.latency_ms({})
        grid = [multiplied(groups, share) for share in np.linspace(1, 0.1, 91)]
        even_widths = min(grid, key=lambda widths: abs(model.latency_ms(widths) - half_ms))
        even = pruned(self.module, groups, removed_at(groups, scores, even_widths))
        budget_ms = self._device.measured_ms({"even": even})["even"]
        model = model.corrected(even_widths, budget_ms)
        asked_ms = budget_ms
        for _ in range(CORRECTIONS):
            chosen = choose(choices, model, asked_ms)
            best = pruned(self.module, groups, removed_at(groups, scores, chosen.widths))
            measured = self._device.measured_ms({"best": best, "even": even})
            share = measured["best"] / measured["even"]
            if 0.95 <= share <= 1.0:
                break
            asked_ms *= 0.98 / share
        return dict(zip(ARMS, (best, even, copy.deepcopy(even)), strict=True)), budget_ms

    def learn(self, module: nn.Module, *, fresh: bool) -> float:
        """Train a narrower network by the answers of the whole one; test accuracy in percent."""
        options = self._options
        recipe = replace(self._recipe, epochs=options.fine_epochs, distil=0.5, warmup_share=0.1)
        start = None if fresh else {k: v.clone() for k, v in module.state_dict().items()}
        train(module, self._data, recipe, self._seed, start=start, teacher=NetworkTeacher(self.module, "cpu"))
        return self.test(module)


def rows_of(
    seed: Seed, number: int, groups: tuple[ChannelGroup, ...], device: Device
) -> list[dict[str, Any]]:
    """What the arms of a seed reach."""
    networks, budget_ms = seed.networks(groups)
    latencies = device.measured_ms({"whole": seed.module, **networks})
    whole = {"seed": number, "arm": "whole", "test": seed.test(seed.module), "ms": latencies["whole"]}
    rows = [{**whole, "before": None, "cpu_s": None, "budget_ms": budget_ms}]
    for arm, module in networks.items():
        before, began = seed.test(module), time.process_time()
        test = seed.learn(module, fresh=arm == ARMS[2])
        cpu_s = time.process_time() - began
        row = {"seed": number, "arm": arm, "test": test, "ms": latencies[arm], "before": before}
        rows.append({**row, "cpu_s": cpu_s, "budget_ms": budget_ms})
        print(
            f"seed {number}, {arm}: {before:.1f} %, after training {test:.1f} %, {latencies[arm]:.3f} ms",
            flush=True,
        )
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """The arms side by side, and the differences to the knapsack."""
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in ("whole", *ARMS)}
    columns = ("network", "p50", "test before", "test", "knapsack less this, paired (95 %)", "CPU-s")
    print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
    for arm, known in by_arm.items():
        ms, test = (np.mean([row[key] for row in known]) for key in ("ms", "test"))
        cells = [arm, f"{ms:.3f} ms", "–", f"{test:.1f} %", "–", "–"]
        if arm != "whole":
            cells[2] = f"{np.mean([row['before'] for row in known]):.1f} %"
            cells[5] = f"{np.mean([row['cpu_s'] for row in known]):.0f}"
        if arm in ARMS[1:]:
            gains = np.array([a["test"] - b["test"] for a, b in zip(by_arm[ARMS[0]], known, strict=True)])
            half = (
                student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
                if len(gains) > 1
                else np.nan
            )
            cells[4] = f"{gains.mean():+.1f} ({gains.mean() - half:+.1f} to {gains.mean() + half:+.1f})"
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """All seeds."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="with a profile of this machine")
    parser.add_argument("--images", type=int, default=128, help="validation images for the loss of a width")
    parser.add_argument("--train-images", type=int, default=1_500, help="training and validation images")
    parser.add_argument("--epochs", type=int, default=8, help="of the whole network")
    parser.add_argument("--fine-epochs", type=int, default=5, help="of each narrower one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = cifar_subset(options.archive, options.folder / "images", options.train_images, N_TEST)
    data = load_data(str(images), 32, 0, root=options.folder / "home", val_share=VAL_SHARE)
    groups = trace(build(data), (3, 32, 32)).groups
    device = Device(data, groups, options.folder, options.home)
    file = options.folder / "rows.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for number in options.seeds:
        if any(row["seed"] == number for row in rows):
            continue
        new = rows_of(Seed(data, device, number, options), number, groups, device)
        rows += new
        with file.open("a") as out:
            out.writelines(json.dumps(row) + "\n" for row in new)
    report([row for row in rows if row["seed"] in options.seeds])


if __name__ == "__main__":
    main()
