"""Active options: what progressive methods leave of each choice, stage by stage.

A policy relaxes the active options only and scatters the mix back over all options (`scatter_mix`), so
no relaxation, supernet or cost knows that options are missing. Inactive options have probability 0 and do
not run.

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

from hwnas.core.choice import Choice
from hwnas.core.fixed_index import fixed_index
from hwnas.core.mix import Mix
from hwnas.core.node import ABSENT, none_of

from .nodes import real_options

ActiveOptions = tuple[tuple[int, ...], ...]
"""Per choice the indices of the active options, ascending."""


def all_options(choices: Sequence[Choice]) -> ActiveOptions:
    """Every option of every choice."""
    return tuple(tuple(range(len(c.options))) for c in choices)


def keep_best(
    active: ActiveOptions, scores: Sequence[NDArray[np.float64]], choices: Sequence[Choice], share: float
) -> ActiveOptions:
    """The best ceil(share x n_options) of the active options of each choice [1].

    scores: (n_options,) per choice. An edge of a node always keeps an option that is not `none`.
    """
    remaining = []
    for options, score, choice in zip(active, scores, choices, strict=True):
        n = min(len(options), max(1, math.ceil(share * len(choice.options) - 1e-9)))
        order = sorted(options, key=lambda i: -score[i])
        best = order[:n]
        if choice.keep and not set(best) & set(real_options(choice)):
            best = [*best[:-1], next(i for i in order if i in real_options(choice))]
        remaining.append(tuple(sorted(best)))
    return tuple(remaining)


def intersect(a: ActiveOptions, b: ActiveOptions) -> ActiveOptions:
    """The options that are active in both; those of `a` at a choice where they have none in common."""
    return tuple(
        tuple(i for i in options if i in other) or options for options, other in zip(a, b, strict=True)
    )


def restrict(choices: Sequence[Choice], active: ActiveOptions) -> tuple[Choice, ...]:
    """The choices with only their active options."""
    return tuple(
        replace(choice, options=tuple(choice.options[i] for i in options))
        for choice, options in zip(choices, active, strict=True)
    )


def scatter_mix(mix: Mix, choices: Sequence[Choice], active: ActiveOptions) -> Mix:
    """The mix over `restrict(choices, active)` as a mix over `choices`."""
    probs, runs, probe = [], [], []
    for p, run, probed, choice, options in zip(
        mix.probs, mix.active, mix.probe, choices, active, strict=True
    ):
        if ABSENT in run:
            whole = torch.zeros(len(choice.options), dtype=p.dtype, device=p.device)
            whole[none_of(choice)] = 1
        else:
            whole = _scatter(p, options, len(choice.options))
        probs.append(whole)
        runs.append(tuple(none_of(choice) if i == ABSENT else options[i] for i in run))
        probe.append(tuple(options[i] for i in probed))
    draw_probs: tuple[Tensor, ...] = ()
    if mix.draw_probs:
        draw_probs = tuple(
            _scatter(p, options, len(choice.options))
            for p, choice, options in zip(mix.draw_probs, choices, active, strict=True)
        )
    return replace(mix, probs=tuple(probs), active=tuple(runs), probe=tuple(probe), draw_probs=draw_probs)


def _scatter(values: Tensor, places: tuple[int, ...], n: int) -> Tensor:
    """(n,): `values` at `places`, 0 elsewhere; differentiable."""
    index = fixed_index(places, values.device)
    return torch.zeros(n, dtype=values.dtype, device=values.device).index_put((index,), values)
