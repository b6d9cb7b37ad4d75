"""Milliseconds of a kernel: a roofline per kind, corrected by trees on the logarithm of the rest.

The roofline says how a kind of kernel scales (non-negative weights of a call, MACs, bytes read, written and
of weights, inner loops; Williams et al. 2009), so that predictions stay plausible beyond the shapes that were
seen. The trees say how far a shape is from its roofline. Each kind has its own trees: trees of a whole family
take the neighbours of a shape from other kinds (error 5.4 instead of 4.8 % on networks of a model zoo). Trees
are stored as ONNX (skl2onnx): predicting needs no scikit-learn, loading runs no code, and only the trees of
the kinds that a network has are opened.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.stats import Floats

from .features import FREE, NAMES, KernelFeatures
from .network import LEAST_MS

Roofline = tuple[float, ...]

MIN_OF_KIND = 8
"""Fewer samples of a kind than this share the roofline of their family."""

MIN_OF_TREES = 40
"""Fewer samples of a kind than this have a roofline only."""

TICK_MS = 3e-4
"""The spread of a whole microsecond, of which the profiler counts full ones only."""

_REWEIGHTED = 12
_TREES = 40
_OPSET = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Forests:
    """Rooflines, and trees by kind: those of scikit-learn while a predictor is fitted, ONNX files after."""

    rooflines: Mapping[str, Roofline]
    trees: Mapping[str, Any]

    def predict_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """Milliseconds of each kernel; (n,)."""
        times_ms = roof_ms(self.rooflines, features) * corrections(self.trees, features)
        return np.maximum(times_ms - TICK_MS, LEAST_MS)

    def as_onnx(self, features: Sequence[KernelFeatures]) -> Forests:
        """The same with trees as ONNX files. features: that they were fitted on."""
        return Forests(self.rooflines, as_onnx(self.trees, features))


def corrections(trees: Mapping[str, Any], features: Sequence[KernelFeatures]) -> Floats:
    """What the trees multiply each kernel with; (n,)."""
    factors = np.ones(len(features))
    for kind, rows, x in by_kind(features):
        of_kind = trees.get(kind)
        if of_kind is not None:
            logs = run_trees(of_kind, x) if isinstance(of_kind, bytes) else of_kind.predict(x)
            factors[rows] = np.exp(logs)
    return factors


@functools.lru_cache(maxsize=256)
def _session(model: bytes) -> Any:
    """Kept, because to load the trees takes longer than to ask them for a small network."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_trees(model: bytes, x: NDArray[np.float32]) -> Floats:
    """What trees in an ONNX file say of each row of `x`."""
    session = _session(model)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0], dtype=np.float64).ravel()


def roof_ms(rooflines: Mapping[str, Roofline], features: Sequence[KernelFeatures]) -> Floats:
    """The rooflines' milliseconds; a kind without one has that of its family."""
    return np.array([np.dot(k.terms, roofline_of(rooflines, k)) for k in features], dtype=np.float64)


def roofline_of(rooflines: Mapping[str, Roofline], kernel: KernelFeatures) -> Roofline:
    """That of the kind, of the family, or of any family: a target may have profiled no kernel of it."""
    return rooflines.get(kernel.kind) or rooflines.get(kernel.family) or rooflines["memory"]


@dataclass(frozen=True, slots=True)
class TreeGrowth:
    """How trees grow. leaf: samples in each at least; tried: share of the features per split."""

    leaf: int = 4
    tried: float = 0.6


def fit(
    features: Sequence[KernelFeatures], times_ms: Floats, seed: int, growth: TreeGrowth = TreeGrowth()
) -> Forests:
    """The rooflines and trees of measured times (n,), each above 0.

    Both are fitted on the logarithm of the times and TICK_MS: what is shorter than a tick is noise there.
    """
    times_ms = times_ms + TICK_MS
    rooflines = _rooflines(features, times_ms)
    rest = np.log(times_ms / roof_ms(rooflines, features))
    return Forests(rooflines, fit_trees(features, rest, times_ms, seed, growth))


def fit_trees(
    features: Sequence[KernelFeatures], rest: Floats, times_ms: Floats, seed: int, growth: TreeGrowth
) -> dict[str, Any]:
    """Trees by kind on `rest` (n,), the logarithm of what is to be corrected; long kernels weigh more."""
    return {
        kind: _trees(seed, growth).fit(x, rest[rows], sample_weight=np.sqrt(times_ms[rows]))
        for kind, rows, x in by_kind(features)
        if len(rows) >= MIN_OF_TREES and kind not in FREE
    }


def as_onnx(trees: Mapping[str, Any], features: Sequence[KernelFeatures]) -> dict[str, bytes]:
    """The trees as ONNX files by kind."""
    n_features = {k.kind: len(NAMES[k.family]) for k in features}
    return {kind: tree_file(forest, n_features[kind]) for kind, forest in trees.items()}


def tree_file(trees: Any, n_features: int) -> bytes:
    """scikit-learn's trees as an ONNX file."""
    from skl2onnx import to_onnx

    like = np.zeros((1, n_features), np.float32)
    return bytes(to_onnx(trees, like, target_opset=_OPSET).SerializeToString())


def counted(features: Sequence[KernelFeatures]) -> dict[str, int]:
    """Samples per kind."""
    return dict(sorted(Counter(k.kind for k in features).items()))


def _trees(seed: int, growth: TreeGrowth) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(
        _TREES, min_samples_leaf=growth.leaf, max_features=growth.tried, random_state=seed, n_jobs=1
    )


def by_kind(features: Sequence[KernelFeatures]) -> list[tuple[str, NDArray[np.int64], NDArray[np.float32]]]:
    """(kind, indices, features) for each kind that occurs."""
    rows: dict[str, list[int]] = {}
    for i, kernel in enumerate(features):
        rows.setdefault(kernel.kind, []).append(i)
    return [
        (kind, np.array(of, dtype=np.int64), np.array([features[i].values for i in of], dtype=np.float32))
        for kind, of in sorted(rows.items())
    ]


def _rooflines(features: Sequence[KernelFeatures], times_ms: Floats) -> dict[str, Roofline]:
    terms = np.array([k.terms for k in features], dtype=np.float64)
    groups: dict[str, list[int]] = {}
    for i, k in enumerate(features):
        groups.setdefault(k.kind, []).append(i)
        groups.setdefault(k.family, []).append(i)
    return {
        name: _roofline(terms[rows], times_ms[rows])
        for name, rows in groups.items()
        if len(rows) >= MIN_OF_KIND or name in NAMES
    }


def _roofline(terms: Floats, times_ms: Floats) -> Roofline:
    """Non-negative weights of the least sum of |log(predicted / measured)|; a call costs something.

    Iteratively reweighted least squares of predicted / measured - 1. Without the reweighting, spread pulls
    the weights down: relative squares forgive a prediction of nothing, which is off by 1, and punish one of
    three times (30 % too fast on networks of a model zoo, 6 % with it).
    """
    from scipy.optimize import nnls

    scale = np.maximum(terms.max(axis=0), 1e-30)
    x = terms / scale / times_ms[:, None]
    weights, importance = np.zeros(x.shape[1]), np.ones(len(x))
    for _ in range(_REWEIGHTED):
        weights = nnls(x * importance[:, None], importance)[0]
        ratio = np.maximum(x @ weights, 1e-3)
        off = np.maximum(np.abs(np.log(ratio)), 0.02)
        importance = np.sqrt(off / np.maximum((ratio - 1) ** 2, 4e-4))
    weights /= scale
    weights[0] = max(weights[0], 0.3 * float(times_ms.min()))
    return tuple(float(w) for w in weights)
