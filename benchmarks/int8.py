"""What 8 bits cost networks of torchvision, timm and a search: accuracy, size, latency, steps to a promise.

    nice python -m benchmarks.int8 ARCHIVE FOLDER

ARCHIVE is a zip of `cifar10/{train,test}/<class>/*.jpg`. Each network is trained briefly on a part of it,
then made into 8 bits as `hwnas export --as fp32,int8 --qat --max-drop 0.01` does. What FOLDER holds of a
network is not trained, made or measured again. Prints tables.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from benchmarks.cifar_subset import cifar_subset
from hwnas.data import Data, load_data
from hwnas.exporting.delivery import Delivery
from hwnas.exporting.export import describe_input, onnx_bytes
from hwnas.exporting.packaging import PLAIN
from hwnas.exporting.source import ExportSource
from hwnas.exporting.variants import VARIANTS
from hwnas.spaces import load_space
from hwnas.training.known import build_known
from hwnas.training.recipe import Recipe
from hwnas.training.train import train
from targets import load_target
from targets.files import write_json

SEARCHED = {
    "searched-0": (
        "8:mb7e3/24:mb3e6-hs:mb3e3-se-hs/32:fused3e6-hs:mb5e6/32:fused3e6-hs:mb7e3/40:fused3e3:skip"
    ),
    "searched-1": "16:mb5e6/24:fused3e3:skip/32:mb7e3-se-hs:skip/40:mb7e3:skip/56:mb3e3:skip",
    "searched-2": "8:fused3e3/16:fused3e3:skip/24:mb3e3:skip/32:mb3e3:skip/40:mb3e3:skip",
}
"""The networks that `hwnas search --data scenes --seed N` chose, for N from 0 to 2."""

NETWORKS = (
    *SEARCHED,
    "torchvision:mobilenet_v3_small",
    "torchvision:mobilenet_v2",
    "timm:efficientnet_lite0",
)
N_TEST, VAL_SHARE = 1_000, 0.3


def build(name: str, data: Data, weights: Path | None = None) -> nn.Module:
    """The network, one of `SEARCHED` or of a library."""
    module = _searched(name, data) if name in SEARCHED else _known(name, data)
    if weights is not None:
        module.load_state_dict(load(weights.read_bytes()))
    return module.eval()


def _searched(name: str, data: Data) -> nn.Module:
    size = data.image_size
    space = load_space("mobile", image_size=size, in_channels=data.in_channels, n_classes=data.n_classes)
    return space.build(space.from_string(SEARCHED[name]))


def _known(name: str, data: Data) -> nn.Module:
    """For small images: the first two strides of 2 are 1. Norms follow short trainings."""
    module = build_known(name, data.n_classes, data.in_channels)
    strided = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    for conv in strided[:2]:
        conv.stride = (1, 1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.1
    return module


def trained(name: str, data: Data, epochs: int, folder: Path) -> Path:
    """The weights of the network, trained where they are not there yet."""
    weights = folder / f"{name.replace(':', '-')}.safetensors"
    if not weights.exists():
        module = build(name, data)
        recipe = replace(Recipe.for_data(len(data.split("train")), epochs), lr=0.05, clip=5.0)
        result = train(module, data, recipe, 0)
        print(f"{name}: trained, validation {100 * result.val_accuracy:.1f} %", flush=True)
        weights.write_bytes(save({k: v.contiguous() for k, v in module.state_dict().items()}))
    return weights


def deliver(name: str, data: Data, weights: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The records of fp32 and int8, measured; those of an earlier call where there are any."""
    known = options.folder / name.replace(":", "-") / "records.json"
    if known.exists():
        records: list[dict[str, Any]] = json.loads(known.read_text())
        return records
    shape = (1, data.in_channels, data.image_size, data.image_size)
    folder = options.folder / name.replace(":", "-")
    folder.mkdir(exist_ok=True)
    source = ExportSource(
        name=name.rpartition(":")[2],
        kind="a benchmark",
        model=onnx_bytes(build(name, data, weights), shape),
        data=data,
        described=describe_input(data, shape),
        build=partial(build, name, data, weights),
    )
    delivery = Delivery(
        source=source,
        folder=folder,
        target=load_target("host"),
        home=options.folder / "home",
        max_drop=options.max_drop,
        packaging=PLAIN,
        aware=True,
    )
    base = delivery.make(VARIANTS["fp32"], None)
    records = delivery.measure([base, delivery.make(VARIANTS["int8"], base)], lambda text: None)
    write_json(known, records)
    return records


def main() -> None:
    """Every network."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_400, help="training and validation images")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--max-drop", type=float, default=0.01)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = cifar_subset(options.archive, options.folder / "images", options.images, N_TEST)
    home = options.folder / "home"
    data = load_data(str(images), options.image_size, 0, root=home, val_share=VAL_SHARE)
    for name in options.networks:
        weights = trained(name, data, options.epochs, options.folder)
        base, int8 = deliver(name, data, weights, options)
        print(f"\n{name}: int8 is {int8['size_bytes'] / base['size_bytes']:.2f} of the size of fp32")
        print("| file | validation | test | size | p50 | layers in float |", "|---" * 6 + "|", sep="\n")
        for record in (base, int8):
            floats = next((len(s["floats"]) for s in record["steps"] if s["chosen"]), 0)
            state = " (rejected)" if record["rejected"] else ""
            p50 = record.get("latency_p50_ms")
            print(
                f"| {record['name']}{state} | {100 * record['val_accuracy']:.1f} % "
                f"| {100 * record['test_accuracy']:.1f} % | {record['size_bytes'] / 1e3:.0f} kB "
                f"| {'–' if p50 is None else f'{p50:.3f} ms'} | {floats} |"
            )
        for step in int8["steps"]:
            print(
                f"step: {step['ranges']}, {step['aware_epochs']} epochs of training, "
                f"{len(step['floats'])} in float ({100 * step['float_share']:.0f} % of the MACs): "
                f"{100 * step['val_accuracy']:.1f} %, {step['latency_p50_ms']:.3f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
