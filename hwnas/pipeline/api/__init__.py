"""The searches in the users' words: `from hwnas import DARTSSearcher`.

Thin doors to what the command line uses: the one loop (`gradient`), the one training (`training`), the one
exporter, the tables of a target. A searcher is a row of defaults; nothing is searched or trained here.
"""

from .evaluator import ArchitectureEvaluator
from .results import Evaluation, SearchResult, TrainedArchitecture
from .searchers import (
    DARTSSearcher,
    ENASSearcher,
    PCDARTSSearcher,
    PDARTSSearcher,
    ProxylessNASSearcher,
    Searcher,
)

__all__ = [
    "ArchitectureEvaluator",
    "DARTSSearcher",
    "ENASSearcher",
    "Evaluation",
    "PCDARTSSearcher",
    "PDARTSSearcher",
    "ProxylessNASSearcher",
    "SearchResult",
    "Searcher",
    "TrainedArchitecture",
]
