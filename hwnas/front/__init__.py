"""Discrete search: strategies propose architectures (`ask`) and learn from their metrics (`tell`).

Here: what is sought (goals), the record of what was evaluated (ledger), the methods (nsga2, random
search), Pareto mathematics and the choice of picks, the Optuna mirror of a run. Not here: how an
architecture is evaluated (`hwnas/evaluators/shared_weights.py`) and how a run is stored (`hwnas/runs`).
"""

from __future__ import annotations

from .generational import Generational, random_search
from .history import Ledger, Row, load_rows, save_rows
from .loop import Evaluate, Strategy, run
from .nsga2 import nsga2
from .objectives import Failed, Goals, Judged, Metrics, Objective
from .optuna_export import StudyMirror
from .pareto import crowding, hypervolume, knee, non_dominated, ranks
from .picks import Pick, choose_picks

__all__ = [
    "Evaluate",
    "Failed",
    "Generational",
    "Goals",
    "Judged",
    "Ledger",
    "Metrics",
    "Objective",
    "Pick",
    "Row",
    "Strategy",
    "StudyMirror",
    "choose_picks",
    "crowding",
    "hypervolume",
    "knee",
    "load_rows",
    "non_dominated",
    "nsga2",
    "random_search",
    "ranks",
    "run",
    "save_rows",
]
