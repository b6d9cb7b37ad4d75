"""What the surrogate sees of an architecture besides its structure, and what such figures were worth.

Shared-weight accuracy is a feature where a supernet was trained: real trainings then calibrate its bias.
Zero-cost proxies are features where the user asks for them; their rank correlation is recorded in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from hwnas.core.arrays import Array
from hwnas.core.choice import Arch
from hwnas.evaluators import EvaluationFailed
from hwnas.evaluators.proxies import ProxyScores
from hwnas.front import FeaturesOf, Trial

from .run_context import RunContext

MOST_SCORED = 24
"""Architectures whose proxies are compared with their accuracy: the first ones, which are spread the most."""

_FEWEST = 5
"""Below, a rank correlation says nothing."""


def features_of(context: RunContext) -> FeaturesOf | None:
    """The columns that this run adds to those of the structure; None where it adds none."""
    if not context.trains:
        return None
    columns: list[FeaturesOf] = []
    if context.counts.supernet_steps:
        columns.append(lambda archs: _shared_errors(context, archs))
    if context.config.proxies:
        scores = ProxyScores.on(context.space, context.data, seed=context.config.seed)
        columns.append(lambda archs: scores(archs))
    if not columns:
        return None
    return lambda archs: np.hstack([column(archs) for column in columns])


def _shared_errors(context: RunContext, archs: Sequence[Arch]) -> Array:
    """Log error by the shared weights: (n, 1). One that cannot be evaluated counts as always wrong."""
    answers = context.shared_weights(archs)
    errors = [1.0 if isinstance(a, EvaluationFailed) else 1 - a["val_accuracy"] for a in answers]
    return np.log(np.maximum(np.array(errors, dtype=np.float64), 1e-4))[:, None]


def proxy_correlations(context: RunContext, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Spearman of each proxy, parameters and MACs with the accuracy of short trainings; None for too few.

    `left_out` names the proxies that do not know such networks, `n` how many were compared.
    """
    trained = [t for t in trials if t.failure is None][:MOST_SCORED]
    if not context.trains or len(trained) < _FEWEST:
        return None
    accuracy = np.array([t.metrics["val_accuracy"] for t in trained])
    if len(np.unique(accuracy)) < 2:
        return None
    scores = ProxyScores.on(context.space, context.data, seed=context.config.seed)
    with context.run.progress("proxies", len(trained)) as bar:
        values = scores(context.archs([t.arch for t in trained]), lambda: bar.advance(1))
    columns = {name: values[:, i] for i, name in enumerate(scores.names)}
    columns |= {name: np.array([t.metrics[name] for t in trained]) for name in ("params", "macs")}
    rhos = {name: _rho(column, accuracy) for name, column in columns.items()}
    return {"n": len(trained), "left_out": list(scores.left_out), **rhos}


def _rho(a: Array, b: Array) -> float | None:
    return float(spearmanr(a, b).statistic) if len(np.unique(a)) > 1 else None
