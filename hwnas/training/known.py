"""Networks of torchvision and timm by name, with random weights: nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from targets.errors import UsageError, did_you_mean


def build_known(model: str, n_classes: int, in_channels: int = 3) -> nn.Module:
    """`torchvision:NAME` or `timm:NAME` with random weights; UsageError for what these libraries lack."""
    library, _, name = model.partition(":")
    if library not in _LIBRARIES or not name:
        raise UsageError(f"{model!r} is no model; give torchvision:NAME or timm:NAME, as timm:resnet18")
    return _LIBRARIES[library](name, n_classes, in_channels)


def _of_torchvision(name: str, n_classes: int, in_channels: int) -> nn.Module:
    from torchvision import models

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
        known = f"near it: {', '.join(near)}" if near else "timm.list_models() has the names"
        raise UsageError(f"timm has no model {name!r}; {known}")
    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes, in_chans=in_channels)
    return module


_LIBRARIES: dict[str, Callable[[str, int, int], nn.Module]] = {
    "torchvision": _of_torchvision,
    "timm": _of_timm,
}


def is_of_library(source: str) -> bool:
    """Whether `torchvision:NAME` or `timm:NAME` is meant; UsageError where the name is missing."""
    library, _, name = source.partition(":")
    if library not in _LIBRARIES:
        return False
    if not name:
        raise UsageError(f"{source!r} names no network; give {library}:NAME, as {library}:resnet18")
    return True
