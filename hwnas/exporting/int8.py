"""The int8 file of an exported model: what a target of that precision runs.

Its scales come from training images, fed as an app feeds them. Quantisation changes the network, so the
accuracy of this file is measured too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lut.predictor.models.quantise import front_nodes, quantised
from targets import Int8Form
from targets.files import sha256, write_atomic

from .compact import compact
from .export import Exported
from .variants import tagged

if TYPE_CHECKING:
    from hwnas.data import Data

FILE = "model.int8.onnx"
CALIBRATION_IMAGES = 256


def export_int8(model: Exported, data: Data, form: Int8Form) -> Exported:
    """Write model.int8.onnx beside model.onnx and note it in the manifest, with its hash, size and form."""
    source = model.onnx.read_bytes()
    batch = int(model.manifest["input_shape"][0])
    content = tagged(
        compact(quantised(source, form, calibration(data, batch), floats=front_nodes(source))), source, "int8"
    )
    write_atomic(model.folder / FILE, content)
    images = min(CALIBRATION_IMAGES, len(data.split("train")))
    facts = {
        "file": FILE,
        "form": f"QDQ, {form.text}",
        "size_mb": len(content) / 1e6,
        "calibration": {"split": "train", "images": images, "range": "lowest to highest value"},
    }
    return model.noted(files={**model.manifest["files"], FILE: sha256(content)}, int8=facts)


def calibration(data: Data, batch: int, input_name: str | None = None) -> Iterator[dict[str, Any]]:
    """Training images spread evenly over the split, in batches of the model's size; the last is filled up."""
    from hwnas.data import file_batches

    for x, _ in file_batches(data, "train", batch, CALIBRATION_IMAGES):
        image = np.ascontiguousarray(x.numpy())
        yield {input_name or data.kind.input_name: np.resize(image, (batch, *image.shape[1:]))}


def int8_path(model: Exported) -> Path | None:
    """The int8 file, where the model has one."""
    return model.folder / FILE if "int8" in model.manifest else None
