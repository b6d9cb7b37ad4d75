"""A network from its JSON description: what a training job, a manifest and a command line hold.

Four kinds of rows: an architecture of a space, a baseline that stands beside the search, a network of
torchvision or timm, and any of them with fewer channels.
Weights are not part of it: `train.initialise` sets them from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from hwnas.core.registry import Registry
from hwnas.networks.resized import resized
from targets.errors import UsageError

from .known import build_known
from .mobilenet import mobilenet_v3_small

BASELINES: Registry[Callable[..., nn.Module]] = Registry("baseline")
BASELINES.add("mobilenet_v3_small")(mobilenet_v3_small)


def build_network(spec: Mapping[str, Any]) -> nn.Module:
    """The network of `spec`, which is one of:

    - `{"space": {"name": "mobile", "image_size": 32, …}, "arch": "16:mb3e3/…"}`: keywords of `load_space`;
      with `"auxiliary": true` besides, the second classifier that a space has for training;
    - `{"baseline": "mobilenet_v3_small", "width": 0.5, "image_size": 32, …}`: keywords of the baseline;
    - `{"model": "timm:resnet18", "n_classes": 10, "in_channels": 3}`: keywords of `build_known`;
    - `{"shrunk": {…}, "shapes": {"features.0.0.weight": [24, 3, 3, 3], …}}`: another network of these, and
      the tensors of it that are narrower.

    Raises UsageError for anything else.
    """
    for kind, build in _KINDS.items():
        if kind in spec:
            try:
                return build(**spec)
            except TypeError as error:
                raise UsageError(f"network {dict(spec)!r}: {error}") from error
    raise UsageError(f"network {dict(spec)!r} has none of the keys {', '.join(map(repr, _KINDS))}")


def _from_space(space: Mapping[str, Any], arch: str, auxiliary: bool = False) -> nn.Module:
    from hwnas.spaces import load_space
    from hwnas.spaces.darts import DartsSpace

    search_space = load_space(**space)
    decoded = search_space.from_string(arch)
    if not auxiliary:
        return search_space.build(decoded)
    if not isinstance(search_space, DartsSpace):
        raise UsageError(f"space {search_space.name} has no auxiliary classifier; darts has one")
    return search_space.build(decoded, auxiliary=True)


def _baseline(baseline: str, **options: Any) -> nn.Module:
    return BASELINES[baseline](**options)


def _shrunk(shrunk: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> nn.Module:
    return resized(build_network(shrunk), shapes)


_KINDS: dict[str, Callable[..., nn.Module]] = {
    "space": _from_space,
    "baseline": _baseline,
    "model": build_known,
    "shrunk": _shrunk,
}
