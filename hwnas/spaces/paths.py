"""What the live paths of a cell are made of, for a surrogate: by dynamic programming over the nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.core.arrays import Array, Indices
from hwnas.networks.cell_blocks import CellOp
from hwnas.networks.cells import Wiring

_CONVOLVES = ("sep", "dil", "nor", "asym")
_FAR = 1e9


def path_features(wiring: Wiring, ops: Sequence[CellOp], edges: Indices) -> list[Array]:
    """Edges: per cell the index of the operation on each edge (n, edges). Five columns (n,).

    log(1 + paths); most and mean convolutions of a path; the widest reach in pixels (sum of kernel - 1); the
    fewest operations of a path that are no skip. A cell without a path gets 0 and, for the last, -1.
    """
    absent = np.array([op.kind == "none" for op in ops], dtype=np.bool_)
    convolves = np.array([op.kind in _CONVOLVES for op in ops], dtype=np.float64)
    reach = np.array([max(op.kernel - 1, 0) for op in ops], dtype=np.float64)
    acts = np.array([op.kind not in ("skip", "none") for op in ops], dtype=np.float64)
    n, n_inputs, n_states = len(edges), wiring.n_inputs, max(t for _, t in wiring.edges) + 1
    paths, total = np.zeros((n_states, n)), np.zeros((n_states, n))
    most, widest, fewest = (np.full((n_states, n), v) for v in (-_FAR, -_FAR, _FAR))
    paths[:n_inputs] = 1
    for values in (most, widest, fewest):
        values[:n_inputs] = 0
    for (s, t), option in zip(wiring.edges, edges.T, strict=True):
        live = ~absent[option] & (paths[s] > 0)
        paths[t] += np.where(live, paths[s], 0)
        total[t] += np.where(live, total[s] + paths[s] * convolves[option], 0)
        most[t] = np.where(live, np.maximum(most[t], most[s] + convolves[option]), most[t])
        widest[t] = np.where(live, np.maximum(widest[t], widest[s] + reach[option]), widest[t])
        fewest[t] = np.where(live, np.minimum(fewest[t], fewest[s] + acts[option]), fewest[t])
    last = slice(n_inputs, None) if wiring.concat else slice(n_states - 1, None)
    count, convolutions = paths[last].sum(0), total[last].sum(0)
    some = count > 0
    return [
        np.log1p(count),
        np.where(some, most[last].max(0), 0.0),
        convolutions / np.maximum(count, 1),
        np.where(some, widest[last].max(0), 0.0),
        np.where(some, fewest[last].min(0), -1.0),
    ]
