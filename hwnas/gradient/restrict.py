"""Fewer options than the space has: what progressive methods leave of each choice, stage by stage.

A policy relaxes only what is left and widens the mix again, so that no relaxation, supernet or cost
knows of it. The options that were taken away neither run nor weigh anything.

[1] Chen et al. 2019, P-DARTS, 1904.12760, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..mix import Choice, Mix
from .nodes import ABSENT, none_of, real_options

Kept = tuple[tuple[int, ...], ...]
"""Per choice the indices of the options that are left, ascending."""


def everything(choices: Sequence[Choice]) -> Kept:
    """All options of all choices."""
    return tuple(tuple(range(len(c.options))) for c in choices)


def shrink(
    kept: Kept, scores: Sequence[NDArray[np.float64]], choices: Sequence[Choice], share: float
) -> Kept:
    """The best ceil(share x n_options) of each choice among those left; scores (n_options,) per choice [1].

    An edge of a node always keeps an option that is not `none`.
    """
    out = []
    for left, score, choice in zip(kept, scores, choices, strict=True):
        n = min(len(left), max(1, math.ceil(share * len(choice.options) - 1e-9)))
        order = sorted(left, key=lambda i: -score[i])
        best = order[:n]
        if choice.keep and not set(best) & set(real_options(choice)):
            best = [*best[:-1], next(i for i in order if i in real_options(choice))]
        out.append(tuple(sorted(best)))
    return tuple(out)


def narrow(choices: Sequence[Choice], kept: Kept) -> tuple[Choice, ...]:
    """The choices with only the options that are left."""
    return tuple(
        replace(c, options=tuple(c.options[i] for i in left)) for c, left in zip(choices, kept, strict=True)
    )


def widen(mix: Mix, choices: Sequence[Choice], kept: Kept) -> Mix:
    """The mix over `narrow(choices, kept)` as one over `choices`."""
    weights, active, probe = [], [], []
    for w, a, p, c, left in zip(mix.weights, mix.active, mix.probe, choices, kept, strict=True):
        if ABSENT in a:
            out = torch.zeros(len(c.options), dtype=w.dtype, device=w.device)
            out[none_of(c)] = 1
        else:
            out = _scatter(w, left, len(c.options))
        weights.append(out)
        active.append(tuple(none_of(c) if i == ABSENT else left[i] for i in a))
        probe.append(tuple(left[i] for i in p))
    return replace(mix, weights=tuple(weights), active=tuple(active), probe=tuple(probe))


def _scatter(values: Tensor, places: tuple[int, ...], n: int) -> Tensor:
    index = torch.tensor(places, device=values.device)
    return torch.zeros(n, dtype=values.dtype, device=values.device).index_put((index,), values)
