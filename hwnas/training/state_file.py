"""Weights from a file that others wrote: safetensors, or a state_dict of torch, of which nothing is run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.errors import DamagedFileError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPED = ("state_dict", "model", "model_state_dict", "state_dict_ema", "net")
"""Keys under which trainers keep the weights beside other things."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name. UsageError for a file of another kind, DamagedFileError where it cannot be read.

    A `.pt` file is opened by torch's reader that knows tensors and plain values only: whole pickled networks
    are refused, because opening one runs whatever its author put into it.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give the file of the weights") from None
    if path.suffix == ".safetensors":
        return read_safetensors(raw, path)
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return _state_dict(raw, path)
    raise UsageError(f"{path} is no file of weights; give .safetensors, or a state_dict as .pt or .pth")


def with_state(module: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """`module` with these weights, in eval mode; DamagedFileError where they are not those of it, `name`."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise DamagedFileError(
            f"the weights are not those of {name}: {' '.join(str(error).split())[:300]}; give the "
            "state_dict of this network, trained on as many classes as the images have"
        ) from None
    return module.eval()


def read_safetensors(raw: bytes, path: Path) -> dict[str, Tensor]:
    """Tensors by name; DamagedFileError where the bytes of `path` are no such file."""
    from safetensors.torch import load

    try:
        return load(raw)
    except Exception as error:  # safetensors has errors of its own
        raise DamagedFileError(f"{path} is no safetensors file: {str(error).splitlines()[0]}") from None


def _state_dict(raw: bytes, path: Path) -> dict[str, Tensor]:
    import torch

    try:
        found: Any = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception:  # zip, pickle and torch have errors of their own, which tell to load it unsafely
        raise DamagedFileError(
            f"{path} holds no plain state_dict: it is damaged, or a whole network in a pickle, which is not "
            "opened because that runs code; where it was made, save `model.state_dict()` with "
            "safetensors.torch.save_file"
        ) from None
    for key in _WRAPPED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if (
        not isinstance(found, dict)
        or not found
        or not all(isinstance(t, torch.Tensor) for t in found.values())
    ):
        raise DamagedFileError(f"{path} holds no state_dict: names of tensors were expected")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
