"""The average of networks that were trained apart, weighted by how many images each has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from targets.errors import UsageError

_MEAN, _VAR = "running_mean", "running_var"

State = Mapping[str, Tensor]


def average(states: Sequence[State], counts: Sequence[float]) -> dict[str, Tensor]:
    """The mean of the weights, in double precision; in the types of the first.

    The statistics of norms are put together as those of a union are: means are averaged, and a variance is
    the mean of the variances and of the squared distances of the means (Chan et al. 1979). Counters, which
    are whole numbers, are those of the part that counted most.
    """
    if not states or len(states) != len(counts) or min(counts) <= 0:
        raise UsageError(f"{len(states)} states and the counts {list(counts)}; each needs a count above 0")
    shares = [count / sum(counts) for count in counts]
    return {name: _of_tensor(name, states, shares) for name in states[0]}


def average_where_trained(
    before: State, states: Sequence[State], trained: Sequence[State]
) -> dict[str, Tensor]:
    """The mean of shared weights, each over the parts that trained it; in the types of `before`.

    before: the weights that all parts began with. trained: by how many images each number of each tensor was
    trained, per part; tensors that are not there were trained by none. A number that no part trained stays as
    it was, and one that a single part trained is as that part left it: single paths train some of the
    weights, and an average over all parts would pull those back to where they began. Where all parts trained
    a number by as many images as they have, this is `average`.
    """
    return {name: _where_trained(name, before[name], states, trained) for name in before}


def _where_trained(name: str, before: Tensor, states: Sequence[State], trained: Sequence[State]) -> Tensor:
    total, moved = (torch.zeros_like(before, dtype=torch.float64) for _ in range(2))
    for state, counts in zip(states, trained, strict=True):
        if name in counts:
            total += counts[name]
            moved += counts[name] * (state[name].double() - before.double())
    return (before.double() + moved / total.clamp_min(1)).to(before.dtype)


def _of_tensor(name: str, states: Sequence[State], shares: Sequence[float]) -> Tensor:
    first = states[0][name]
    if not first.is_floating_point():
        return torch.stack([state[name] for state in states]).amax(0)
    mean = _mean(name, states, shares)
    if name.endswith(_VAR) and (means := name.removesuffix(_VAR) + _MEAN) in states[0]:
        centre = _mean(means, states, shares)
        spread = zip(states, shares, strict=True)
        mean = mean + sum((s * (state[means].double() - centre).square() for state, s in spread), 0.0)
    return mean.to(first.dtype)


def _mean(name: str, states: Sequence[State], shares: Sequence[float]) -> Tensor:
    total = torch.zeros_like(states[0][name], dtype=torch.float64)
    for state, share in zip(states, shares, strict=True):
        total += share * state[name].double()
    return total
