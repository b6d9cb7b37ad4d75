"""Discrete search: strategies propose architectures (`ask`) and learn from their metrics (`tell`).

`Strategy` is the protocol of all strategies and `run` the loop around any of them. Here too: the problem
(objectives and constraints), the history of trials, Pareto mathematics and the choice of picks, the
export to Optuna. Not here: how an architecture is evaluated (`hwnas/evaluators`) and how a run is
stored (`hwnas/runs`).
"""

from __future__ import annotations

from .generational import STORED, Generational
from .history import History, Trial, load_trials, save_trials
from .loop import run
from .objectives import Objective, Problem, TrialValues
from .optuna_export import OptunaExport
from .pareto import crowding, hypervolume, knee, non_dominated, ranks
from .pick_reasons import pick_reasons
from .picks import Pick, choose_picks
from .preference import PREFERENCES, find_preference
from .strategies import make_strategy
from .strategy import STRATEGIES, CostsOf, FeaturesOf, Forecast, Propose, Strategy, StrategyContext

__all__ = [
    "PREFERENCES",
    "STORED",
    "STRATEGIES",
    "CostsOf",
    "FeaturesOf",
    "Forecast",
    "Generational",
    "History",
    "Objective",
    "OptunaExport",
    "Pick",
    "Problem",
    "Propose",
    "Strategy",
    "StrategyContext",
    "Trial",
    "TrialValues",
    "choose_picks",
    "crowding",
    "find_preference",
    "hypervolume",
    "knee",
    "load_trials",
    "make_strategy",
    "non_dominated",
    "pick_reasons",
    "ranks",
    "run",
    "save_trials",
]
