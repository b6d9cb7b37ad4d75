"""Estimate the blocks that were not measured: a roofline, corrected by trees on the logarithm of the rest.

ExtraTrees on log(time / roofline) had the lowest error of the forms that were compared. The trees are stored
as ONNX (skl2onnx), so that a stored estimator loads in every version and executes no code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.stats import Floats
from targets.errors import UsageError

from .networks import TableBlock

HELD_OUT = 0.2
MIN_ROWS = 10
"""Fewer measured blocks than this say nothing about the others."""


@dataclass(frozen=True)
class BlockEstimator:
    """Milliseconds of a block from its features.

    names: features, in the order of the matrix.
    roofline: milliseconds per [1, MAC, byte].
    trees: ONNX bytes of the correction.
    """

    names: tuple[str, ...]
    roofline: tuple[float, float, float]
    trees: bytes

    def predict_ms(self, blocks: Sequence[TableBlock]) -> Floats:
        """Cost of each block before the calibration, in milliseconds; (n,)."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(self.trees, options, providers=["CPUExecutionProvider"])
        x = features(blocks, self.names).astype(np.float32)
        log_rest = np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0], dtype=np.float64)
        times_ms: Floats = base(blocks) @ np.array(self.roofline) * np.exp(log_rest.ravel())
        return times_ms


def feature_names(blocks: Sequence[TableBlock]) -> tuple[str, ...]:
    """The names of the features that every block has, sorted; UsageError where they differ."""
    names = set(blocks[0].features)
    for block in blocks:
        if set(block.features) != names:
            raise UsageError(
                f"block {block.key}: features {sorted(block.features)} differ from {sorted(names)}"
            )
    return tuple(sorted(names))


def features(blocks: Sequence[TableBlock], names: Sequence[str]) -> Floats:
    """(n, len(names) + 2): the features, log MACs, log bytes."""
    listed = np.array([[block.features[n] for n in names] for block in blocks], dtype=np.float64)
    return np.column_stack([listed.reshape(len(blocks), len(names)), np.log1p(base(blocks)[:, 1:])])


def base(blocks: Sequence[TableBlock]) -> Floats:
    """(n, 3): 1, MACs, bytes of traffic."""
    return np.array([[1.0, block.macs, block.features.get("bytes", 0.0)] for block in blocks])


def fit(blocks: Sequence[TableBlock], times_ms: Floats, seed: int) -> BlockEstimator:
    """The estimator fitted to blocks with measured times (n,), each above 0."""
    from skl2onnx import to_onnx

    names = feature_names(blocks)
    roofline = _roofline(base(blocks), times_ms)
    x = features(blocks, names).astype(np.float32)
    trees = _trees(x, np.log(times_ms / (base(blocks) @ roofline)), seed)
    model = to_onnx(trees, x[:1], target_opset={"": 17, "ai.onnx.ml": 3})
    return BlockEstimator(
        names,
        (float(roofline[0]), float(roofline[1]), float(roofline[2])),
        bytes(model.SerializeToString()),
    )


def fit_and_estimate(
    blocks: Sequence[TableBlock], values: Floats, others: Sequence[TableBlock], seed: int
) -> list[float]:
    """Values of `others` by an estimator that is fitted to `blocks` with `values` (n,) and not kept."""
    roofline, names = _roofline(base(blocks), values), feature_names(blocks)
    x = features(blocks, names).astype(np.float32)
    trees = _trees(x, np.log(values / (base(blocks) @ roofline)), seed)
    estimates = base(others) @ roofline * np.exp(trees.predict(features(others, names).astype(np.float32)))
    return [float(v) for v in estimates]


def held_out_errors(blocks: Sequence[TableBlock], times_ms: Floats, seed: int) -> dict[str, float]:
    """Errors on 20 % of the blocks, by an estimator fitted to the other 80 %."""
    order = np.random.default_rng([seed, 0x4E1D]).permutation(len(blocks))
    n = max(1, round(HELD_OUT * len(blocks)))
    test, train = order[:n], order[n:]
    predicted = np.array(
        fit_and_estimate([blocks[i] for i in train], times_ms[train], [blocks[i] for i in test], seed)
    )
    error = 100 * np.abs(predicted / times_ms[test] - 1)
    return {
        "predictor_mape_pct": float(error.mean()),
        "predictor_median_pct": float(np.median(error)),
        "predictor_within_10_pct": float(100 * (error <= 10).mean()),
        "predictor_n_held_out": int(n),
    }


def _roofline(x: Floats, times_ms: Floats) -> Floats:
    """Non-negative weights (3,) by relative least squares; the constant is kept above 0."""
    from scipy.optimize import nnls

    scale = np.maximum(x.max(axis=0), 1e-30)
    weights = nnls(x / scale / times_ms[:, None], np.ones(len(times_ms)))[0] / scale
    weights[0] = max(weights[0], 0.01 * float(times_ms.min()))
    roofline: Floats = weights
    return roofline


def _trees(x: NDArray[np.float32], y: Floats, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(100, min_samples_leaf=1, max_features=0.7, random_state=seed, n_jobs=1).fit(
        x, y
    )


def spread(blocks: Sequence[TableBlock], seed: int) -> list[TableBlock]:
    """An order in which every prefix is spread over the groups and, inside a group, over the MACs."""
    rng = np.random.default_rng([seed, 0x5EED])
    groups: dict[str, list[TableBlock]] = {name: [] for name in sorted({block.group for block in blocks})}
    for block in blocks:
        groups[block.group].append(block)
    places: list[tuple[float, float, TableBlock]] = []
    for members in groups.values():
        by_macs = sorted(members, key=lambda block: (block.macs, block.key))
        # van der Corput order: 1/2, 1/4, 3/4, ... of the sorted list, so that any prefix covers the range
        ranks = np.argsort([_bit_reversed(i) for i in range(len(by_macs))], kind="stable")
        offset = rng.random()
        for position, i in enumerate(ranks):
            places.append(((position + offset) / len(by_macs), rng.random(), by_macs[int(i)]))
    return [block for _, _, block in sorted(places, key=lambda place: place[:2])]


def _bit_reversed(i: int) -> int:
    return int(f"{i:016b}"[::-1], 2)
