"""Fewer options than the space has: what progressive methods leave of each choice, stage by stage.

Some leave the best options of the stage before (`shrink`), others the largest sizes (`within`).

A policy relaxes only what is left and widens the mix again, so that no relaxation, supernet or cost
knows of it. The options that were taken away neither run nor weigh anything.

[1] Chen et al. 2019, P-DARTS, 1904.12760, section 3.2. [2] Cai et al. 2020, Once-for-all, 1908.09791,
section 3.3.
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
from hwnas.core.mix import Mix
from hwnas.core.space import Space
from targets.errors import UsageError, did_you_mean

from .nodes import ABSENT, none_of, real_options
from .stage import Stage

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


def within(space: Space, limits: Sequence[tuple[str, int]] | None, where: str) -> Kept:
    """The options that are smaller than the largest by at most `limits` steps, 0 for other dimensions [2].

    Without limits all options. Where a choice has none, as no operation has both the largest kernel and the
    largest expansion, its nearest. UsageError where the options of the space have no such dimension.
    """
    if limits is None:
        return everything(space.choices)
    steps = [[space.smaller_by(c, o) for o in range(int(n))] for c, n in enumerate(space.n_options)]
    known = sorted({name for options in steps for found in options for name in found})
    for name, _ in limits:
        if name not in known:
            hint = did_you_mean(name, known) if known else "its options are no sizes of one another"
            raise UsageError(
                f"{where}: space {space.name} has no {name} that could shrink; {hint}. Choose space mobile "
                "or proxyless, or a method without such stages (elastic)"
            )
    most = dict(limits)
    over = [[sum(max(0, n - most.get(d, 0)) for d, n in found.items()) for found in row] for row in steps]
    return tuple(tuple(o for o, n in enumerate(row) if n == min(row)) for row in over)


def limits_of(space: Space, stages: Sequence[Stage], where: str) -> list[Kept]:
    """Per stage the options that its sizes leave; UsageError for stages that the space has no sizes for."""
    found = [within(space, stage.elastic, f"{where}, stage {stage.name}") for stage in stages]
    for stage in stages:
        if stage.start == "sorted":  # channels are sorted where operations share them
            within(space, (("expand", 0),), f"{where}, stage {stage.name}")
    return found


def both(a: Kept, b: Kept) -> Kept:
    """The options that both leave; those of `a` at a choice where they have none in common."""
    return tuple(tuple(i for i in left if i in other) or left for left, other in zip(a, b, strict=True))


def narrow(choices: Sequence[Choice], kept: Kept) -> tuple[Choice, ...]:
    """The choices with only the options that are left."""
    return tuple(
        replace(c, options=tuple(c.options[i] for i in left)) for c, left in zip(choices, kept, strict=True)
    )


def widen(mix: Mix, choices: Sequence[Choice], kept: Kept) -> Mix:
    """The mix over `narrow(choices, kept)` as one over `choices`."""
    weights, active, probe = [], [], []
    for w, a, p, c, left in zip(mix.probs, mix.active, mix.probe, choices, kept, strict=True):
        if ABSENT in a:
            out = torch.zeros(len(c.options), dtype=w.dtype, device=w.device)
            out[none_of(c)] = 1
        else:
            out = _scatter(w, left, len(c.options))
        weights.append(out)
        active.append(tuple(none_of(c) if i == ABSENT else left[i] for i in a))
        probe.append(tuple(left[i] for i in p))
    draw_probs = (
        tuple(
            _scatter(p, left, len(c.options))
            for p, c, left in zip(mix.draw_probs, choices, kept, strict=True)
        )
        if mix.draw_probs
        else ()
    )
    return replace(mix, probs=tuple(weights), active=tuple(active), probe=tuple(probe), draw_probs=draw_probs)


def _scatter(values: Tensor, places: tuple[int, ...], n: int) -> Tensor:
    index = torch.tensor(places, device=values.device)
    return torch.zeros(n, dtype=values.dtype, device=values.device).index_put((index,), values)
