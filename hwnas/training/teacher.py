"""Trained networks that others learn from: one of this tool, of torchvision or timm, or any ONNX file.

A teacher sees the images as its pupil does: cropped, mixed and normalised with the statistics of the pupil's
data. Its weights come from a safetensors file or lie in the ONNX file; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from targets.errors import DamagedFileError

from .build import build_network
from .known import build_known
from .loss import Teacher
from .planned_file import planned_bytes


class NetworkTeacher:
    """A torch network in eval mode."""

    def __init__(self, module: nn.Module, device: str | torch.device) -> None:
        self._module = module.to(device).to(memory_format=torch.channels_last).eval()

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (b, n_classes) of images (b, c, h, w)."""
        with torch.no_grad():
            logits: Tensor = self._module(x)
        return logits


class OnnxTeacher:
    """An ONNX file in onnxruntime; one of a fixed batch size is called several times."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, one per status code
            raise DamagedFileError(f"the teacher is no model that onnxruntime can run: {error}") from error
        self._input = self._session.get_inputs()[0]

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (b, n_classes) of images (b, c, h, w)."""
        images = np.ascontiguousarray(x.detach().cpu().numpy())
        fixed = self._input.shape[0]
        size = fixed if isinstance(fixed, int) else len(images)
        rows = []
        for begin in range(0, len(images), size):
            part = images[begin : begin + size]
            fed = np.resize(part, (size, *part.shape[1:]))
            rows.append(self._session.run(None, {self._input.name: fed})[0][: len(part)])
        return torch.from_numpy(np.concatenate(rows)).to(x.device)


def read_teacher(spec: Mapping[str, Any], device: str | torch.device) -> Teacher:
    """The teacher of a training job. spec: `file` and `sha256` of its weights, and either

    - `network`: what `build_network` reads;
    - `model`: `torchvision:NAME` or `timm:NAME`, with `n_classes` and `in_channels`;
    - neither: the file is an ONNX file.
    """
    raw = planned_bytes(spec, "teacher")
    if "network" in spec:
        module = build_network(spec["network"])
    elif "model" in spec:
        module = build_known(str(spec["model"]), int(spec["n_classes"]), int(spec["in_channels"]))
    else:
        return OnnxTeacher(raw)
    return NetworkTeacher(with_weights(module, raw, str(spec["file"])), device)


def with_weights(module: nn.Module, raw: bytes, name: str) -> nn.Module:
    """`module` with the weights of a safetensors file; DamagedFileError where they are not its own."""
    from safetensors.torch import load

    try:
        module.load_state_dict(load(raw))
    except Exception as error:  # safetensors and torch have errors of their own
        raise DamagedFileError(
            f"{name} holds no weights of this network: {str(error).splitlines()[0]}; give the safetensors "
            "file of its state_dict, trained on as many classes"
        ) from None
    return module
