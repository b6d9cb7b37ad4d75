"""Hardware-aware neural architecture search: spaces, supernets, searches, training, export, report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline.architecture_evaluator import ArchitectureEvaluator
    from .pipeline.discrete_searchers import (
        BayesianSearcher,
        EvolutionSearcher,
        PNASSearcher,
        RandomSearcher,
    )
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
    "BayesianSearcher": "hwnas.pipeline.discrete_searchers",
    "DARTSSearcher": "hwnas.pipeline.searchers",
    "ENASSearcher": "hwnas.pipeline.searchers",
    "EvolutionSearcher": "hwnas.pipeline.discrete_searchers",
    "Front": "hwnas.pipeline.found_front",
    "PCDARTSSearcher": "hwnas.pipeline.searchers",
    "PDARTSSearcher": "hwnas.pipeline.searchers",
    "PNASSearcher": "hwnas.pipeline.discrete_searchers",
    "ProxylessNASSearcher": "hwnas.pipeline.searchers",
    "RandomSearcher": "hwnas.pipeline.discrete_searchers",
    "search": "hwnas.pipeline.search",
}
"""Public name -> the module that is loaded when the name is asked for: `import hwnas` stays light."""

__all__ = [
    "ArchitectureEvaluator",
    "BayesianSearcher",
    "DARTSSearcher",
    "ENASSearcher",
    "EvolutionSearcher",
    "Front",
    "PCDARTSSearcher",
    "PDARTSSearcher",
    "PNASSearcher",
    "ProxylessNASSearcher",
    "RandomSearcher",
    "search",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
