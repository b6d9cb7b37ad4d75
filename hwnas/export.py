"""The one exporter: every network that is profiled or shipped becomes ONNX through `onnx_bytes`.

torch's TorchScript exporter writes a small block in about 12 ms, the dynamo exporter needs 20 to 60 times
that and splits GlobalAveragePool; a test compares the outputs of the two. What the exporter emits decides
which kernels run, so `EXPORTER` is part of the context of every latency table.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import nn

from hwnas.modes import device_of, evaluating

OPSET = 17
# Without the local part of the version (+cpu, +cu130): the builds share the exporter.
EXPORTER = f"torchscript-opset{OPSET} torch {torch.__version__.split('+')[0]}"
INPUT_NAME = "image"
OUTPUT_NAME = "logits"


def onnx_bytes(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    metadata: Mapping[str, str] | None = None,
    input_name: str = INPUT_NAME,
    output_name: str = OUTPUT_NAME,
) -> bytes:
    """`module` as an ONNX file with the fixed input shape (b, c, h, w) and one output.

    The module is exported as it behaves in eval mode and is left as it was found.
    `metadata` becomes the file's `metadata_props`.
    """
    buffer = io.BytesIO()
    with evaluating(module), warnings.catch_warnings():
        # dynamo=False is deprecated but chosen; anything else that the exporter has to say is let through.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export")
        warnings.filterwarnings("ignore", "The feature will be removed. Please remove usage of this function")
        torch.onnx.export(
            module,
            (torch.zeros(tuple(input_shape), device=device_of(module)),),
            buffer,  # type: ignore[arg-type]  # this exporter takes a file object, the annotation is the other's
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            do_constant_folding=True,
        )
    if not metadata:
        return buffer.getvalue()
    model = onnx.load_model_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())
