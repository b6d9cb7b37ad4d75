"""What is *searched*: spaces, supernets, gradient and discrete search, training, export, report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.pipeline.api import (
        ArchitectureEvaluator,
        DARTSSearcher,
        ENASSearcher,
        PCDARTSSearcher,
        PDARTSSearcher,
        ProxylessNASSearcher,
    )

__all__ = [
    "ArchitectureEvaluator",
    "DARTSSearcher",
    "ENASSearcher",
    "PCDARTSSearcher",
    "PDARTSSearcher",
    "ProxylessNASSearcher",
]


def __getattr__(name: str) -> Any:
    """The names of `hwnas.pipeline.api`, loaded when they are asked for: `import hwnas` stays light."""
    if name in __all__:
        return getattr(importlib.import_module("hwnas.pipeline.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
