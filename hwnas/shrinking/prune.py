"""Channels removed: the narrower network, and the whole one with the same channels at zero.

Both compute the same, which `check_groups` makes sure of before anything is learned from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.networks.modes import evaluating
from hwnas.networks.resized import resized

from .coupling import Axis, ChannelGroup

Removed = Mapping[str, NDArray[np.int64]]
"""By group, the channels that go."""

TOLERANCE = 1e-4
"""Largest difference of the two forms, relative to the largest output or 1."""


def removed_places(groups: Sequence[ChannelGroup], removed: Removed) -> dict[Axis, NDArray[np.int64]]:
    """By axis, the indices that go with these channels."""
    places: dict[Axis, list[NDArray[np.int64]]] = defaultdict(list)
    for group in groups:
        channels = removed.get(group.name)
        if channels is not None and len(channels):
            for axis, indices in group.places.items():
                places[axis].append(indices[channels].ravel())
    return {axis: np.unique(np.concatenate(parts)) for axis, parts in places.items()}


def zeroed(
    state: Mapping[str, Tensor], groups: Sequence[ChannelGroup], removed: Removed
) -> dict[str, Tensor]:
    """The state with those channels at zero; tensors that do not change are shared."""
    out = dict(state)
    places = removed_places(groups, removed)
    for name in {name for name, _ in places}:
        out[name] = out[name].clone()
    for (name, axis), indices in places.items():
        out[name].index_fill_(axis, torch.from_numpy(indices), 0)
    return out


def narrowed(
    state: Mapping[str, Tensor], groups: Sequence[ChannelGroup], removed: Removed
) -> dict[str, Tensor]:
    """The state without those channels."""
    out = dict(state)
    for (name, axis), indices in removed_places(groups, removed).items():
        kept = np.setdiff1d(np.arange(out[name].shape[axis]), indices)
        out[name] = out[name].index_select(axis, torch.from_numpy(kept))
    return out


def pruned(module: nn.Module, groups: Sequence[ChannelGroup], removed: Removed) -> nn.Module:
    """A narrower copy of `module`."""
    state = module.state_dict()
    new = narrowed(state, groups, removed)
    twin = resized(module, changed_shapes(state, new))
    twin.load_state_dict(new)
    return twin


def changed_shapes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """The shapes in which two states of a network differ, as `resized` takes them."""
    return {name: list(t.shape) for name, t in after.items() if t.shape != before[name].shape}


def check_groups(
    module: nn.Module, groups: Sequence[ChannelGroup], input_shape: Sequence[int]
) -> tuple[list[ChannelGroup], list[str]]:
    """(groups that can be removed from, names of the others).

    A network may write down numbers of channels in its code, which no trace shows. So half of every group
    goes, and the narrower network has to answer as the one with zeros; if not, each group is tried alone.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *input_shape, generator=generator)
    if _agrees(module, groups, images):
        return list(groups), []
    good = [group for group in groups if _agrees(module, [group], images)]
    return good, [group.name for group in groups if group not in good]


def _agrees(module: nn.Module, groups: Sequence[ChannelGroup], images: Tensor) -> bool:
    halves = {group.name: np.arange(1, group.size, 2) for group in groups}
    masked = zeroed(module.state_dict(), groups, halves)
    try:
        narrow = pruned(module, groups, halves)
        with evaluating(narrow), evaluating(module):
            answers: Tensor = narrow(images)
            expected: Tensor = torch.func.functional_call(module, masked, (images,))
    except (RuntimeError, ValueError, IndexError):  # shapes that do not fit
        return False
    largest = max(1.0, float(expected.abs().max()))
    return answers.shape == expected.shape and float((answers - expected).abs().max()) <= TOLERANCE * largest
