"""Architectures in the order of their probability under a policy.

A unit is what can be decided on its own: one choice, or all edges of a node together, because an
architecture keeps a fixed number of them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.core.choice import Arch, Choice
from hwnas.core.node import CellNode, nodes_of, none_of

from .nodes import real_options

LogProbs = Sequence[NDArray[np.float64]]
"""log p of each option, one array (n_options,) per choice."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Choices that are decided together.

    choices: their indices.
    options: (n, n_choices), every combination of their options, a row each.
    scores: (n,), the sum of log p of each row.
    """

    choices: tuple[int, ...]
    options: NDArray[np.int64]
    scores: NDArray[np.float64]


def scores_of(log_probs: LogProbs, choices: tuple[Choice, ...]) -> LogProbs:
    """What an architecture is ranked by: `log_probs` with 0 for the option `none` of a node's edges.

    So the best edges of a node are those with the most probable option that is not `none` (Liu et al. 2019,
    DARTS, section 2.4).
    """
    scores = [p.copy() for p in log_probs]
    for node in nodes_of(choices):
        for e in node.edges:
            scores[e][none_of(choices[e])] = 0.0
    return scores


def units_of(scores: LogProbs, choices: tuple[Choice, ...]) -> list[Unit]:
    """The units of a space, in the order of their first choice."""
    node_units = [_node_unit(scores, choices, node) for node in nodes_of(choices)]
    in_nodes = {e for unit in node_units for e in unit.choices}
    single_units = [
        Unit((c,), np.arange(len(p))[:, None], np.asarray(p, dtype=np.float64))
        for c, p in enumerate(scores)
        if c not in in_nodes
    ]
    return sorted([*node_units, *single_units], key=lambda unit: unit.choices)


def _node_unit(scores: LogProbs, choices: tuple[Choice, ...], node: CellNode) -> Unit:
    rows: list[tuple[int, ...]] = []
    for kept in itertools.combinations(range(len(node.edges)), node.keep):
        allowed = [
            real_options(choices[e]) if i in kept else (none_of(choices[e]),)
            for i, e in enumerate(node.edges)
        ]
        rows.extend(itertools.product(*allowed))
    options = np.array(rows, dtype=np.int64)
    columns = [scores[e][options[:, i]] for i, e in enumerate(node.edges)]
    return Unit(node.edges, options, np.sum(columns, axis=0))


def best(units: Sequence[Unit]) -> Arch:
    """The most probable architecture."""
    return assemble(units, [int(u.scores.argmax()) for u in units])


def assemble(units: Sequence[Unit], rows: Sequence[int]) -> Arch:
    """The architecture that has row `rows[i]` of unit i."""
    arch: dict[int, int] = {}
    for unit, row in zip(units, rows, strict=True):
        arch.update(zip(unit.choices, unit.options[row].tolist(), strict=True))
    return tuple(arch[c] for c in range(len(arch)))


def sample(units: Sequence[Unit], n: int, rng: np.random.Generator) -> list[Arch]:
    """`n` architectures, the rows of each unit drawn in proportion to their probability."""
    columns = []
    for unit in units:
        p = np.exp(unit.scores - unit.scores.max())
        columns.append(rng.choice(len(p), size=n, p=p / p.sum()))
    return [assemble(units, rows) for rows in np.stack(columns, axis=1).tolist()]


def log_prob(log_probs: LogProbs, arch: Arch) -> float:
    """The log-probability of an architecture, choices independent."""
    return float(sum(p[i] for p, i in zip(log_probs, arch, strict=True)))


def most_probable(units: Sequence[Unit]) -> Iterator[Arch]:
    """Every architecture once, most probable first.

    The smallest sums of one term per list: with the lists sorted by their second term, each state
    (last touched list i at rank r) has three successors: r + 1; also list i + 1; list i + 1 instead.
    """
    orders = [np.argsort(-u.scores, kind="stable") for u in units]
    losses = [(u.scores.max() - u.scores[o]).tolist() for u, o in zip(units, orders, strict=True)]
    lists = sorted((c for c in range(len(losses)) if len(losses[c]) > 1), key=lambda c: losses[c][1])
    first = [int(o[0]) for o in orders]
    yield assemble(units, first)
    if not lists:
        return
    ties = itertools.count()
    kept: tuple[tuple[int, int], ...] = ()
    heap = [(losses[lists[0]][1], next(ties), 0, 1, kept)]
    while heap:
        loss, _, i, rank, kept = heapq.heappop(heap)
        rows = first.copy()
        for unit, r in (*kept, (lists[i], rank)):
            rows[unit] = int(orders[unit][r])
        yield assemble(units, rows)
        own = losses[lists[i]]
        if rank + 1 < len(own):
            heapq.heappush(heap, (loss + own[rank + 1] - own[rank], next(ties), i, rank + 1, kept))
        if i + 1 < len(lists):
            second = losses[lists[i + 1]][1]
            heapq.heappush(heap, (loss + second, next(ties), i + 1, 1, (*kept, (lists[i], rank))))
            if rank == 1:
                heapq.heappush(heap, (loss - own[1] + second, next(ties), i + 1, 1, kept))
