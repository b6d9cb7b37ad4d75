"""Zero-cost proxies: numbers of an untrained network that are to tell how good it will be.

They are features for a surrogate and figures for a report, never judges: parameters and MACs are hard to
beat. Each is of a module and leaves it as it was; `ProxyScores` gives, for architectures, those that know
what the networks read.
"""

from __future__ import annotations

from .naswot import naswot
from .scores import PROXIES, ProxyInputs, ProxyScores
from .synflow import log_synflow
from .zico import zico

__all__ = ["PROXIES", "ProxyInputs", "ProxyScores", "log_synflow", "naswot", "zico"]
