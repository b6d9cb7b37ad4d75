"""Discrete search: strategies propose architectures (`ask`) and learn from their metrics (`tell`).

Here: the problem (objectives and constraints), the history of trials, the strategies (nsga2, random
search), Pareto mathematics and the choice of picks, the export to Optuna. Not here: how an
architecture is evaluated (`hwnas/evaluators`) and how a run is stored (`hwnas/runs`).
"""

from __future__ import annotations

from .generational import Generational, random_search
from .history import History, Trial, load_trials, save_trials
from .loop import Strategy, run
from .nsga2 import nsga2
from .objectives import Objective, Problem, TrialValues
from .optuna_export import OptunaExport
from .pareto import crowding, hypervolume, knee, non_dominated, ranks
from .picks import Pick, choose_picks

__all__ = [
    "Generational",
    "History",
    "Objective",
    "OptunaExport",
    "Pick",
    "Problem",
    "Strategy",
    "Trial",
    "TrialValues",
    "choose_picks",
    "crowding",
    "hypervolume",
    "knee",
    "load_trials",
    "non_dominated",
    "nsga2",
    "random_search",
    "ranks",
    "run",
    "save_trials",
]
