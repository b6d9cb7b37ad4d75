"""A network with fewer channels than it was built with: the same modules, narrower tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from targets.errors import DamagedFileError


def resized(module: nn.Module, shapes: Mapping[str, Sequence[int]]) -> nn.Module:
    """A copy of `module` whose tensors of these names have these shapes; those are filled with zeros.

    Modules that keep their numbers of channels as attributes are told the new ones. DamagedFileError for a
    name that the network does not have, or a shape of another rank.
    """
    twin = copy.deepcopy(module)
    tensors = dict(twin.named_parameters(remove_duplicate=False)) | dict(
        twin.named_buffers(remove_duplicate=False)
    )
    for name, shape in shapes.items():
        old = tensors.get(name)
        if old is None or old.ndim != len(shape) or min(shape, default=1) < 1:
            raise DamagedFileError(f"a narrower network has {name} of shape {list(shape)}, this one has not")
        parent, _, leaf = name.rpartition(".")
        owner = twin.get_submodule(parent)
        new = torch.zeros(tuple(shape), dtype=old.dtype, device=old.device)
        if isinstance(old, nn.Parameter):
            setattr(owner, leaf, nn.Parameter(new, requires_grad=old.requires_grad))
        else:
            owner.register_buffer(leaf, new)
    for part in twin.modules():
        _tell(part)
    return twin


def _tell(part: nn.Module) -> None:
    """Its attributes as its weight has it."""
    weight = getattr(part, "weight", None)
    if not isinstance(weight, torch.Tensor):
        return
    if isinstance(part, nn.Conv2d):
        if is_depthwise(part):
            part.groups = weight.shape[0] // (part.out_channels // part.groups)
        part.out_channels = weight.shape[0]
        part.in_channels = weight.shape[1] * part.groups
    elif isinstance(part, nn.Linear):
        part.out_features, part.in_features = weight.shape
    elif isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
        part.num_features = len(weight)
    elif isinstance(part, nn.PReLU):
        part.num_parameters = len(weight)


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Whether every channel is read alone."""
    return conv.groups > 1 and conv.groups == conv.in_channels
