"""Networks of torchvision and timm by name, with random weights: nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from targets.errors import UsageError, did_you_mean


def build_known(model: str, n_classes: int, in_channels: int = 3) -> nn.Module:
    """`torchvision:NAME` or `timm:NAME` with random weights; UsageError for what these libraries lack."""
    check_known(model)
    library, _, name = model.partition(":")
    return _LIBRARIES[library].build(name, n_classes, in_channels)


def check_known(model: str) -> None:
    """UsageError for what is no `torchvision:NAME` or `timm:NAME`, and for what these libraries lack."""
    library, _, name = model.partition(":")
    if library not in _LIBRARIES or not name:
        raise UsageError(f"{model!r} is no model; give torchvision:NAME or timm:NAME, as timm:resnet18")
    _LIBRARIES[library].check(name)


def require_trained(model: str, *, weights: object, data: object) -> None:
    """UsageError for an unknown model, and where its trained weights or its images are not given (None)."""
    check_known(model)
    for option, value in (("weights", weights), ("data", data)):
        if value is None:
            raise UsageError(
                f"{model} needs --{option}: nothing is fetched, so its trained weights come from a file, and "
                "the images that it was trained on say its classes and its input"
            )


def _check_torchvision(name: str) -> None:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UsageError(f"torchvision has no model {name!r} for classification; {did_you_mean(name, known)}")


def _of_torchvision(name: str, n_classes: int, in_channels: int) -> nn.Module:
    from torchvision import models

    if in_channels != 3:
        raise UsageError(f"torchvision's {name} reads images of 3 channels, these have {in_channels}")
    options: dict[str, Any] = {"weights": None, "num_classes": n_classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    module: nn.Module = models.get_model(name, **options)
    return module


def _check_timm(name: str) -> None:
    try:
        import timm
    except ImportError:
        raise UsageError(f"timm:{name} needs timm, which is not installed; pip install timm") from None
    if not timm.is_model(name):
        near = timm.list_models(f"*{name[:6]}*")[:5]
        known = f"near it: {', '.join(near)}" if near else "timm.list_models() has the names"
        raise UsageError(f"timm has no model {name!r}; {known}")


def _of_timm(name: str, n_classes: int, in_channels: int) -> nn.Module:
    import timm

    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes, in_chans=in_channels)
    return module


class _Library(NamedTuple):
    """check: UsageError for a name that it lacks. build: by name, classes and channels."""

    check: Callable[[str], None]
    build: Callable[[str, int, int], nn.Module]


_LIBRARIES: dict[str, _Library] = {
    "torchvision": _Library(_check_torchvision, _of_torchvision),
    "timm": _Library(_check_timm, _of_timm),
}


def is_of_library(source: str) -> bool:
    """Whether `torchvision:NAME` or `timm:NAME` is meant; whether it is there, `check_known` says."""
    return source.partition(":")[0] in _LIBRARIES
