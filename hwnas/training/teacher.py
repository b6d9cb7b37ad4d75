"""Trained networks that others learn from: one of this tool, of torchvision or timm, or any ONNX file.

A teacher sees the images as its pupil does: cropped, mixed and normalised with the statistics of the pupil's
data. Its weights come from a safetensors file or lie in the ONNX file; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from targets.errors import DamagedFileError, UsageError

from .build import build_network
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


def build_known(model: str, n_classes: int, in_channels: int = 3) -> nn.Module:
    """`torchvision:NAME` or `timm:NAME` with random weights; UsageError for what these libraries lack."""
    library, _, name = model.partition(":")
    if library not in _LIBRARIES or not name:
        raise UsageError(f"{model!r} is no model; give torchvision:NAME or timm:NAME, as timm:resnet18")
    return _LIBRARIES[library](name, n_classes, in_channels)


def _of_torchvision(name: str, n_classes: int, in_channels: int) -> nn.Module:
    from torchvision import models

    from targets.errors import did_you_mean

    known = models.list_models(module=models)
    if name not in known:
        raise UsageError(f"torchvision has no model {name!r} for classification; {did_you_mean(name, known)}")
    if in_channels != 3:
        raise UsageError(f"torchvision's {name} reads images of 3 channels, these have {in_channels}")
    options: dict[str, Any] = {"weights": None, "num_classes": n_classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    module: nn.Module = models.get_model(name, **options)
    return module


def _of_timm(name: str, n_classes: int, in_channels: int) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UsageError(f"timm:{name} needs timm, which is not installed; pip install timm") from None
    if not timm.is_model(name):
        near = timm.list_models(f"*{name[:6]}*")[:5]
        raise UsageError(f"timm has no model {name!r}" + (f"; near it: {', '.join(near)}" if near else ""))
    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes, in_chans=in_channels)
    return module


_LIBRARIES: dict[str, Callable[[str, int, int], nn.Module]] = {
    "torchvision": _of_torchvision,
    "timm": _of_timm,
}
