"""Hardware-aware neural architecture search: spaces, supernets, searches, training, export, report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline.architecture_evaluator import ArchitectureEvaluator
    from .pipeline.found_front import Front
    from .pipeline.search import search
    from .pipeline.searchers import (
        DARTSSearcher,
        ENASSearcher,
        PCDARTSSearcher,
        PDARTSSearcher,
        ProxylessNASSearcher,
    )

_HOMES = {
    "ArchitectureEvaluator": "hwnas.pipeline.architecture_evaluator",
    "DARTSSearcher": "hwnas.pipeline.searchers",
    "ENASSearcher": "hwnas.pipeline.searchers",
    "Front": "hwnas.pipeline.found_front",
    "PCDARTSSearcher": "hwnas.pipeline.searchers",
    "PDARTSSearcher": "hwnas.pipeline.searchers",
    "ProxylessNASSearcher": "hwnas.pipeline.searchers",
    "search": "hwnas.pipeline.search",
}
"""Public name -> the module that is loaded when the name is asked for: `import hwnas` stays light."""

__all__ = [
    "ArchitectureEvaluator",
    "DARTSSearcher",
    "ENASSearcher",
    "Front",
    "PCDARTSSearcher",
    "PDARTSSearcher",
    "ProxylessNASSearcher",
    "search",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
