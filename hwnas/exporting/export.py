"""The one exporter: every network that is profiled or shipped becomes ONNX through `onnx_bytes`.

torch's TorchScript exporter writes a small block in about 12 ms, the dynamo exporter needs 20 to 60 times
that and splits GlobalAveragePool; a test compares the outputs of the two. What the exporter emits decides
which kernels run, so `EXPORTER` is part of the context of every latency table.
"""

from __future__ import annotations

import copy
import io
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import nn

from hwnas.networks.modes import device_of, evaluating, safetensors_bytes
from hwnas.networks.signature import IMAGE, LOGITS, NEXT_STATE, STATE, signature_of
from hwnas.networks.split_heads import SplitHeads
from hwnas.runs.environment import versions
from hwnas.training.train import logits_of
from profilers.inputs import METADATA
from targets.errors import DamagedFileError
from targets.files import read_json, sha256, write_atomic, write_json

from .complexity import compare_with_ptflops
from .front_end import JOINT, OUT, file_shape, front_of, joined
from .onnx_score import HEADS, OnnxScore, onnx_accuracy, onnx_logits, open_session
from .reshape import without_flatten

if TYPE_CHECKING:
    from hwnas.data import Data

__all__ = [
    "EXPORTER",
    "Exported",
    "OnnxScore",
    "describe_input",
    "export_model",
    "onnx_accuracy",
    "onnx_bytes",
    "open_model",
]

OPSET = 17
# Without the local part of the version (+cpu, +cu130): the builds share the exporter.
EXPORTER = f"torchscript-opset{OPSET}-reshape torch {torch.__version__.split('+')[0]}"
INPUT_NAME, OUTPUT_NAME = IMAGE, LOGITS


def onnx_bytes(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    metadata: Mapping[str, str] | None = None,
    input_name: str = INPUT_NAME,
    output_name: str = OUTPUT_NAME,
    more_inputs: Sequence[Sequence[int]] = (),
) -> bytes:
    """`module` as an ONNX file with the fixed input shape (b, c, h, w) and one output.

    more_inputs: shapes of what the module takes besides; blocks of which a part is measured alone have them.
    A module with a signature of its own (`networks.signature`) has the inputs and outputs that it says.
    The module is exported as it behaves in eval mode and is left as it was found.
    `metadata` becomes the file's `metadata_props`.
    """
    buffer = io.BytesIO()
    signature = signature_of(module, input_shape, (input_name, output_name), more_inputs)
    with evaluating(module), warnings.catch_warnings():
        # dynamo=False is deprecated but chosen; anything else that the exporter has to say is let through.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export")
        warnings.filterwarnings("ignore", "The feature will be removed. Please remove usage of this function")
        torch.onnx.export(
            module,
            tuple(tensor.to(device_of(module)) for tensor in signature.inputs.values()),
            buffer,  # type: ignore[arg-type]  # this exporter takes a file object, the annotation is the other's
            dynamo=False,
            opset_version=OPSET,
            input_names=list(signature.inputs),
            output_names=list(signature.outputs),
            do_constant_folding=True,
        )
    content = without_flatten(buffer.getvalue())
    said = dict(metadata or {})
    if signature.highest:
        said[METADATA] = json.dumps({name: {"high": n} for name, n in signature.highest.items()})
    if not said:
        return content
    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, said)
    return bytes(model.SerializeToString())


def network_file(
    module: nn.Module, data: Data, batch: int, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The float file of a network for `data`: of signals with their front end before it."""
    front, shape = front_of(data), (batch, *data.sample_shape)
    if heads := output_names(data):
        widths = {output: len(names) for output, names in heads.items()}
        module = SplitHeads(module, widths, data.kind.input_name, data.sample_shape)
    if front is None:
        return onnx_bytes(module, shape, metadata=metadata)
    raw = onnx_bytes(front, file_shape(data, batch), input_name=data.kind.input_name, output_name=OUT)
    return joined(raw, onnx_bytes(module, shape, metadata=metadata, input_name=JOINT))


def _with_front(module: nn.Module, data: Data) -> nn.Module:
    """What the file computes, as one module."""
    front = front_of(data)
    return module if front is None else nn.Sequential(front, module)


def output_names(data: Data) -> dict[str, list[str]]:
    """Of a file with several outputs, what the numbers of each stand for; empty for one output."""
    heads: dict[str, list[str]] = {}
    for name, numbers in data.task.file_outputs.items():
        plain = re.sub(r"\W+", "_", name) or "head"
        taken = {data.kind.input_name, *heads}
        output = next(text for i in range(len(taken) + 1) if (text := plain + "_" * i) not in taken)
        heads[output] = list(numbers)
    return heads


TOLERANCE = 1e-4
"""Largest difference from torch's logits, relative to the largest logit or 1, whichever is larger."""
CHECK_IMAGES = 64
FILES = ("model.onnx", "weights.safetensors", "arch.dot")
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """A model folder that is complete and whose files match its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def onnx(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    @property
    def weights(self) -> Path:
        """The same weights for torch."""
        return self.folder / "weights.safetensors"

    def noted(self, **facts: Any) -> Exported:
        """A copy with `facts` added to the manifest, which is written: latencies that were measured later."""
        manifest = {**self.manifest, **facts}
        write_json(self.folder / "manifest.json", manifest)
        return Exported(self.folder, manifest)


def export_model(
    module: nn.Module,
    data: Data,
    folder: Path,
    *,
    arch_id: str,
    network: Mapping[str, Any],
    dot: str,
    batch: int = 1,
    costs: Mapping[str, float] | None = None,
    facts: Mapping[str, Any] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Exported:
    """Write model.onnx, weights.safetensors, arch.dot and, when the file is proven good, manifest.json.

    The file must give torch's logits on validation images. Where it does not, it is kept as
    model.onnx.rejected and DamagedFileError tells the difference.

    Args:
        module: the trained network.
        data: whose validation images are compared, and whose classes and preprocessing the manifest names.
        folder: where the files go.
        arch_id: what the network is called.
        network: what `build_network` builds `module` from.
        dot: the drawing, as Graphviz text.
        batch: images per call of the file.
        costs: `macs` and `params` of one image, which the manifest compares with ptflops' numbers.
        facts: whatever else the manifest shall say.
        now: the clock.
    """
    twin = copy.deepcopy(module).cpu().to(memory_format=torch.contiguous_format).eval()
    fed = file_shape(data, batch)
    described = describe_input(data, fed) | carried_by(twin, batch)
    strings = {k: v if isinstance(v, str) else json.dumps(v) for k, v in described.items()}
    model = network_file(twin, data, batch, {**strings, "arch_id": arch_id, "exporter": EXPORTER})
    check = _check(model, twin, data, batch, folder)
    contents: dict[str, bytes] = {
        "model.onnx": model,
        "weights.safetensors": safetensors_bytes(twin),
        "arch.dot": dot.encode(),
    }
    (folder / "manifest.json").unlink(missing_ok=True)  # it vouches for the old files
    for name, content in contents.items():
        write_atomic(folder / name, content)
    manifest = {
        "schema": _SCHEMA,
        "arch_id": arch_id,
        "network": dict(network),
        "files": {name: sha256(content) for name, content in contents.items()},
        "size_mb": len(model) / 1e6,
        **described,
        "exporter": EXPORTER,
        "versions": versions(),
        "created": now().isoformat(timespec="seconds"),
        "check": check,
        **(
            {}
            if costs is None or CARRIED in described
            else {"ptflops": compare_with_ptflops(_with_front(twin, data), fed[1:], costs)}
        ),
        **(facts or {}),
    }
    write_json(folder / "manifest.json", manifest)
    return Exported(folder, manifest)


def open_model(folder: Path) -> Exported:
    """The model in `folder`; DamagedFileError when a file is missing or is not the one that was exported."""
    path = folder / "manifest.json"
    manifest = read_json(path, "model manifest")
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not set(FILES) <= set(files):
        raise DamagedFileError(f"model manifest: {path} lists no files; export the model again")
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise DamagedFileError(f"{file} does not exist, but {path} lists it; export the model again")
        if sha256(file) != expected:
            raise DamagedFileError(f"{file} is not the file that was exported (SHA-256 differs from {path})")
    return Exported(folder, manifest)


def describe_input(data: Data, shape: Sequence[int]) -> dict[str, Any]:
    """What an app must know to feed the model and read its answer; in the manifest and the metadata."""
    pixels = {
        "colour_order": "RGB" if data.in_channels == 3 else "grey",
        "scale": 1 / 255,
        "normalisation": "(pixel * scale - mean) / std, per channel, pixel in 0..255",
    }
    if data.kind.dims == 0:
        return {
            "input_name": data.kind.input_name,
            "input_shape": list(shape),
            "input_layout": "one symbol per text, int64",
            "sample": data.kind.name,
            "preprocessing": data.preprocessing,
            "output_name": OUTPUT_NAME,
            "class_names": list(data.class_names),
            "task": data.task.name,
            "data": data.name,
        }
    rate = {} if data.front is None else {"rate_hz": data.front.rate_hz}
    raw = {"sample": data.kind.name, **rate, "normalisation": "inside the file; give the values as they are"}
    return {
        "input_name": data.kind.input_name,
        "input_shape": list(shape),
        "input_layout": "NCHW float32",
        **(raw if data.kind.levels is None else pixels),
        "preprocessing": data.preprocessing,
        "mean": list(data.mean),
        "std": list(data.std),
        **_outputs(data),
        "class_names": list(data.class_names),
        "task": data.task.name,
        "data": data.name,
    }


def _outputs(data: Data) -> dict[str, Any]:
    heads = output_names(data)
    return {"output_name": next(iter(heads), OUTPUT_NAME), **({HEADS: heads} if heads else {})}


CARRIED = "carried"
"""What `carried_by` says, in manifests and metadata."""


def carried_by(module: nn.Module, batch: int) -> dict[str, Any]:
    """The state that a file gives and is given again, zeros before the first symbol; empty without one."""
    signature = signature_of(module, (batch,), (INPUT_NAME, OUTPUT_NAME))
    if STATE not in signature.inputs:
        return {}
    shape = list(signature.inputs[STATE].shape)
    return {CARRIED: {"input": STATE, "output": NEXT_STATE, "shape": shape, "first": "zeros"}}


def _check(model: bytes, twin: nn.Module, data: Data, batch: int, folder: Path) -> dict[str, Any]:
    """Compare the file with torch on validation images; refuse it where they differ."""
    from hwnas.data import eval_batches, file_batches

    try:
        onnx.checker.check_model(model, full_check=True)
        answered, _ = onnx_logits(open_session(model), file_batches(data, "val", batch, CHECK_IMAGES))
        reason = ""
    except (onnx.checker.ValidationError, DamagedFileError) as error:
        reason = str(error)
    else:
        expected, _ = logits_of(twin, eval_batches(data, "val", batch, CHECK_IMAGES))
        difference, largest = float(np.abs(answered - expected).max()), float(np.abs(expected).max())
        allowed = TOLERANCE * max(1.0, largest)
        if not difference <= allowed:  # NaN is refused too
            reason = f"its logits differ from torch's by {difference:.3g}, allowed are {allowed:.3g}"
    if reason:
        rejected = folder / "model.onnx.rejected"
        write_atomic(rejected, model)
        raise DamagedFileError(
            f"the exported model is not the trained one: {reason}; it is kept as {rejected}"
        )
    return {
        "images": len(answered),
        "max_difference": difference,
        "allowed": allowed,
        "largest_logit": largest,
    }
