"""What an operation brings in accuracy at equal latency, by regression over the evaluated architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace

FEWEST = 12
"""Architectures below which a regression says nothing."""

_PENALTY = 1.0  # per standardised column: that of a weak prior, one observation's worth
_DRAWS = 200


def operation_worth(space: NetworkSpace, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per option of the layers: points of accuracy per layer, and the 90 % bootstrap interval.

    rows: of the front's record. Empty where too few were evaluated.
    """
    known = [row for row in rows if row.get("val_accuracy") is not None and row.get("latency_ms")]
    if len(known) < FEWEST:
        return []
    archs = [space.from_string(row["arch"]) for row in known]
    names, counts = option_counts(space, archs)
    accuracy = np.array([float(row["val_accuracy"]) for row in known])
    latency = np.log([float(row["latency_ms"]) for row in known])
    varies = counts.std(axis=0) > 0
    names, counts = [n for n, v in zip(names, varies, strict=True) if v], counts[:, varies]
    if not names:
        return []
    worth = _slopes(counts, latency, accuracy)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS):
        sample = rng.integers(0, len(known), len(known))
        draws.append(_slopes(counts[sample], latency[sample], accuracy[sample]))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return [
        {"option": name, "points": 100 * worth[i], "low": 100 * low[i], "high": 100 * high[i]}
        for i, name in enumerate(names)
    ]


def option_counts(space: NetworkSpace, archs: Sequence[Arch]) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the options of layers, and how many layers (n, options) of each architecture have them."""
    widths = {c for position in space.positions for c in position.choices[:-1]}
    layers = sorted({p.choices[-1] for p in space.positions if p.choices} - widths)
    names = list(dict.fromkeys(o for c in layers for o in space.choices[c].options))
    counts = np.zeros((len(archs), len(names)))
    for row, arch in enumerate(archs):
        for c in layers:
            counts[row, names.index(space.choices[c].options[arch[c]])] += 1
    return names, counts


def _slopes(
    counts: NDArray[np.float64], latency: NDArray[np.float64], accuracy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Ridge regression of accuracy on the counts, latency beside them without a penalty: (options,)."""
    spread = counts.std(axis=0)
    x = np.column_stack([np.ones(len(counts)), latency, counts / np.where(spread > 0, spread, 1.0)])
    penalty = np.diag([0.0, 1e-9, *[_PENALTY] * counts.shape[1]])
    slopes: NDArray[np.float64] = np.linalg.solve(x.T @ x + penalty, x.T @ accuracy)[2:]
    return slopes / np.where(spread > 0, spread, np.inf)
