"""Fill the rows that were not measured: a roofline, corrected by trees on the logarithm of the rest.

`latency-predictor.md`: ExtraTrees on log(time / roofline) was the best of the forms tried there. The trees
are kept as ONNX (skl2onnx), so that a stored predictor loads in every version and executes no code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError

from .networks import TableBlock

Floats = NDArray[np.float64]
HELD_OUT = 0.2
MIN_ROWS = 10
"""Fewer measured rows than this say nothing about the others."""


@dataclass(frozen=True)
class BlockEstimator:
    """names: features, in the order of the matrix. roofline: ms per [1, MAC, byte]. trees: ONNX."""

    names: tuple[str, ...]
    roofline: tuple[float, float, float]
    trees: bytes

    def predict_ms(self, parts: Sequence[TableBlock]) -> Floats:
        """Milliseconds of each part alone, without the empty run; (n,)."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(self.trees, options, providers=["CPUExecutionProvider"])
        x = features(parts, self.names).astype(np.float32)
        log_rest = np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0], dtype=np.float64)
        out: Floats = base(parts) @ np.array(self.roofline) * np.exp(log_rest.ravel())
        return out


def feature_names(parts: Sequence[TableBlock]) -> tuple[str, ...]:
    """What every part has, sorted; the two logarithms are added by `features`."""
    names = set(parts[0].features)
    for part in parts:
        if set(part.features) != names:
            raise UsageError(
                f"block {part.key}: features {sorted(part.features)} differ from {sorted(names)}"
            )
    return tuple(sorted(names))


def features(parts: Sequence[TableBlock], names: Sequence[str]) -> Floats:
    """(n, len(names) + 2): the features, log MACs, log bytes."""
    given = np.array([[part.features[n] for n in names] for part in parts], dtype=np.float64)
    return np.column_stack([given.reshape(len(parts), len(names)), np.log1p(base(parts)[:, 1:])])


def base(parts: Sequence[TableBlock]) -> Floats:
    """(n, 3): 1, MACs, bytes of traffic."""
    return np.array([[1.0, p.macs, p.features.get("bytes", 0.0)] for p in parts])


def fit(parts: Sequence[TableBlock], times_ms: Floats, seed: int) -> BlockEstimator:
    """The predictor of measured times (n,), each above 0."""
    from skl2onnx import to_onnx

    names = feature_names(parts)
    roofline = _roofline(base(parts), times_ms)
    x = features(parts, names).astype(np.float32)
    trees = _trees(x, np.log(times_ms / (base(parts) @ roofline)), seed)
    model = to_onnx(trees, x[:1], target_opset={"": 17, "ai.onnx.ml": 3})
    return BlockEstimator(
        names,
        (float(roofline[0]), float(roofline[1]), float(roofline[2])),
        bytes(model.SerializeToString()),
    )


def predict_once(
    parts: Sequence[TableBlock], values: Floats, rest: Sequence[TableBlock], seed: int
) -> list[float]:
    """Values of `rest` by a predictor of the same form of `parts` with values (n,) that is not kept."""
    roofline, names = _roofline(base(parts), values), feature_names(parts)
    trees = _trees(features(parts, names).astype(np.float32), np.log(values / (base(parts) @ roofline)), seed)
    found = base(rest) @ roofline * np.exp(trees.predict(features(rest, names).astype(np.float32)))
    return [float(v) for v in found]


def held_out_errors(parts: Sequence[TableBlock], times_ms: Floats, seed: int) -> dict[str, float]:
    """Errors on 20 % of the rows that a predictor of the other 80 % has not seen."""
    order = np.random.default_rng([seed, 0x4E1D]).permutation(len(parts))
    n = max(1, round(HELD_OUT * len(parts)))
    test, train = order[:n], order[n:]
    predicted = np.array(
        predict_once([parts[i] for i in train], times_ms[train], [parts[i] for i in test], seed)
    )
    error = 100 * np.abs(predicted / times_ms[test] - 1)
    return {
        "predictor_mape_pct": float(error.mean()),
        "predictor_median_pct": float(np.median(error)),
        "predictor_within_10_pct": float(100 * (error <= 10).mean()),
        "predictor_n_held_out": int(n),
    }


def _roofline(x: Floats, times_ms: Floats) -> Floats:
    """Non-negative weights (3,) of the relative least squares; the constant is kept above 0."""
    from scipy.optimize import nnls

    scale = np.maximum(x.max(axis=0), 1e-30)
    weights = nnls(x / scale / times_ms[:, None], np.ones(len(times_ms)))[0] / scale
    weights[0] = max(weights[0], 0.01 * float(times_ms.min()))
    out: Floats = weights
    return out


def _trees(x: NDArray[np.float32], y: Floats, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(100, min_samples_leaf=1, max_features=0.7, random_state=seed, n_jobs=1).fit(
        x, y
    )


def spread(parts: Sequence[TableBlock], seed: int) -> list[TableBlock]:
    """An order in which every prefix is spread over the groups and, inside a group, over the MACs."""
    rng = np.random.default_rng([seed, 0x5EED])
    groups: Mapping[str, list[TableBlock]] = {}
    groups = {g: [] for g in sorted({p.group for p in parts})}
    for part in sorted(parts, key=lambda p: p.key):
        groups[part.group].append(part)
    places: list[tuple[float, float, TableBlock]] = []
    for members in groups.values():
        by_macs = sorted(members, key=lambda p: (p.macs, p.key))
        # van der Corput order: 1/2, 1/4, 3/4, ... of the sorted list, so that any prefix covers the range
        ranks = np.argsort([_bit_reversed(i) for i in range(len(by_macs))], kind="stable")
        offset = rng.random()
        for position, i in enumerate(ranks):
            places.append(((position + offset) / len(by_macs), rng.random(), by_macs[int(i)]))
    return [part for _, _, part in sorted(places, key=lambda p: p[:2])]


def _bit_reversed(i: int) -> int:
    return int(f"{i:016b}"[::-1], 2)
