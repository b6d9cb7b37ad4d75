"""What HardSwish, SiLU and squeeze-and-excite cost in 8 bits: the time and accuracy of networks.

    nice python -m benchmarks.int8_operations FOLDER

One architecture of `mobile` with the same operation in every layer is trained on `scenes` once per operation.
Its float and its 8-bit file are measured side by side; the accuracy is that of the float network, of the
network with rounded layers, by which a search for an int8 target judges, and of the 8-bit file, on the
validation images. Prints a table. FOLDER keeps the trained weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import nn

import lut
from hwnas.data import Data, eval_batches, file_batches, load_data
from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.int8 import calibration
from hwnas.exporting.onnx_score import onnx_logits, open_session
from hwnas.spaces import load_space
from hwnas.training.recipe import Recipe
from hwnas.training.rounding import score_rounded
from hwnas.training.train import eval_batch, score, train
from lut.devices.device import int8_form
from lut.predictor.models.quantise import quantised
from targets import load_target

LAYERS = "16:OP/16:OP:OP/32:OP:OP/32:OP:OP/40:OP:OP"
OPERATIONS = {
    "ReLU": "mb3e6",
    "HardSwish": "mb3e6-hs",
    "SiLU": "mb3e6-hs",
    "ReLU, squeeze-and-excite": "mb3e6-se",
    "HardSwish, squeeze-and-excite": "mb3e6-se-hs",
}


def build(name: str, data: Data) -> nn.Module:
    """The network with that operation; stem and head have ReLU or SiLU where it has."""
    space = load_space("mobile", **data.network_shape)
    module = space.build(space.from_string(LAYERS.replace("OP", OPERATIONS[name])))
    swap = {"ReLU": nn.ReLU, "ReLU, squeeze-and-excite": nn.ReLU, "SiLU": nn.SiLU}.get(name)
    if swap is not None:
        for part in list(module.modules()):
            for child, layer in part.named_children():
                if isinstance(layer, nn.Hardswish):
                    setattr(part, child, swap())
    return module


def trained(name: str, data: Data, epochs: int, folder: Path) -> nn.Module:
    """From the folder, where it is there."""
    module, weights = build(name, data), folder / f"{name.replace(', ', '-')}.safetensors"
    if not weights.exists():
        train(module, data, Recipe.for_data(len(data.split("train")), epochs), 0)
        weights.write_bytes(save({k: v.contiguous() for k, v in module.state_dict().items()}))
    module.load_state_dict(load(weights.read_bytes()))
    return module.eval()


def file_accuracy(file: bytes, data: Data) -> float:
    """On the validation images."""
    logits, labels = onnx_logits(open_session(file), file_batches(data, "val", 1))
    return float((logits.argmax(1) == labels).mean())


def main() -> None:
    """All operations."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    data = load_data("scenes", 32, 0, root=options.folder / "home")
    form, shape = int8_form(load_target("host-int8")), (1, *data.sample_shape)
    files: dict[str, bytes] = {}
    accuracies: dict[str, tuple[float, float, float]] = {}
    for name in OPERATIONS:
        module = trained(name, data, options.epochs, options.folder)
        files[name] = onnx_bytes(module, shape)
        files[f"{name} int8"] = quantised(files[name], form, calibration(data, 1))
        in_float, _ = score(module, eval_batches(data, "val", eval_batch(data.area)))
        in_8_bits, *_ = score_rounded(module, data, form)
        accuracies[name] = (in_float, in_8_bits, file_accuracy(files[f"{name} int8"], data))
        print(f"{name}: {accuracies[name]}", flush=True)
    rows = lut.measure(load_target("host"), dict(files), home=options.folder / "home", log=print)
    columns = ("activation", "fp32", "int8", "int8 / fp32", "float", "rounded", "int8 file")
    print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
    for name in OPERATIONS:
        ms = [rows[key].p50_ms for key in (name, f"{name} int8")]
        shares = " | ".join(f"{100 * accuracy:.1f} %" for accuracy in accuracies[name])
        print(f"| {name} | {ms[0]:.3f} ms | {ms[1]:.3f} ms | {ms[1] / ms[0]:.2f} | {shares} |")


if __name__ == "__main__":
    main()
