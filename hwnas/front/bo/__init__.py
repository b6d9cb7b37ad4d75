"""Bayesian search: the Pareto front with tens of evaluations instead of hundreds.

Here: a Gaussian process on structural features (`gp`, `features`, `surrogate`), the expected hypervolume
improvement over exactly known costs (`improvement`), what is chosen from (`candidates`, `neighbours`), the
proposals (`search`), and the search as a strategy of the loop (`strategy`). Not here: how an architecture is
evaluated, and what is stored of it.
"""

from __future__ import annotations

from .candidates import PoolSize
from .catalogue import Costs
from .estimates import Estimate, estimated_front, estimates, pick, repeats
from .search import BayesianSearch
from .strategy import BayesianStrategy, bo
from .task import Observation, Task

__all__ = [
    "BayesianSearch",
    "BayesianStrategy",
    "Costs",
    "Estimate",
    "Observation",
    "PoolSize",
    "Task",
    "bo",
    "estimated_front",
    "estimates",
    "pick",
    "repeats",
]
