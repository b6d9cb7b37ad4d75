"""Bayesian search: the Pareto front with tens of evaluations instead of hundreds.

Here: a Gaussian process on structural features (`gp`, `features`, `surrogate`), the expected hypervolume
improvement over exactly known costs (`improvement`), what is chosen from (`candidates`, `steps`), and the
proposals (`search`). Not here: the strategy of the loop (`hwnas/front/strategies/bo.py`), and how an
architecture is evaluated.
"""

from __future__ import annotations

from .candidates import PoolSize
from .estimates import Estimate, estimated_front, estimates, pick, repeats
from .search import BayesianSearch
from .task import Observation, Sought

__all__ = [
    "BayesianSearch",
    "Estimate",
    "Observation",
    "PoolSize",
    "Sought",
    "estimated_front",
    "estimates",
    "pick",
    "repeats",
]
