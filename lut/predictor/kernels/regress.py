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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.stats import Floats

from .features import FREE, NAMES, KernelFeatures
from .network import LEAST_MS

Roofline = tuple[float, ...]

Ranges = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""By kind, the smallest and the largest `KernelFeatures.sizes` that were profiled."""

MIN_OF_KIND = 8
"""Fewer samples of a kind than this share the roofline of their family."""

MIN_OF_TREES = 40
"""Fewer samples of a kind than this have a roofline only."""

FEW = 50
"""Kinds with fewer samples are flagged in every answer (`latency-predictor.md`: an attention network was
20 % too fast because three of its kernels had none)."""

TICK_MS = 3e-4
"""The spread of a whole microsecond, of which the profiler counts full ones only."""

_REWEIGHTED = 12
_TREES, _LEAF, _TRIED = 40, 4, 0.6
_OPSET = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class KernelModel:
    """The milliseconds of any kernel on one device.

    rooflines: milliseconds per term, by kind or family.
    trees: ONNX files by kind.
    counts: samples per kind.
    spread: standard deviation of log(measured / predicted) by kind, on networks not seen; `unknown FAMILY` of
        kinds that were not profiled.
    ranges: the smallest and the largest sizes of each kind that were profiled.
    tick_ms: added to the times that it was fitted on, and taken from what it predicts.
    base: the model of another device that this one corrects; rooflines are then factors on its predictions.
    """

    rooflines: Mapping[str, Roofline]
    trees: Mapping[str, bytes]
    counts: Mapping[str, int]
    spread: Mapping[str, float]
    base: KernelModel | None = field(default=None, repr=False)
    ranges: Ranges = field(default_factory=dict, repr=False)
    tick_ms: float = 0.0

    def predict_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """Milliseconds of each kernel in context; (n,)."""
        times_ms = self.first_ms(features)
        for kind, rows, x in by_kind(features):
            if kind in self.trees:
                times_ms[rows] *= np.exp(run_trees(self.trees[kind], x))
        return np.maximum(times_ms - self.tick_ms, LEAST_MS)

    def first_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """The prediction before the trees; (n,)."""
        if self.base is None:
            return roof_ms(self.rooflines, features)
        factors: Floats = np.array([_of(self.rooflines, k)[0] for k in features])
        times_ms: Floats = self.base.predict_ms(features) * factors
        return times_ms

    def log_spread(self, features: Sequence[KernelFeatures]) -> Floats:
        """Standard deviation of the logarithm of each prediction; (n,).

        That of the kind on networks not seen, and more the further a kernel lies outside of all that were
        profiled. Kinds without samples are as far off as kinds of the family are from its roofline.
        """
        return np.array([self._spread_of(k) for k in features])

    def _spread_of(self, kernel: KernelFeatures) -> float:
        unknown = self.spread.get(f"{UNKNOWN} {kernel.family}", _UNTOLD)
        own = self.spread.get(kernel.kind, unknown)
        known = self.ranges.get(kernel.kind)
        return own if known is None else float(np.hypot(own, _PER_E_FOLD * outside(kernel.sizes, known)))


def outside(sizes: Sequence[float], known: tuple[Sequence[float], Sequence[float]]) -> float:
    """How far sizes, as logarithms, lie beyond the smallest and largest ones known, all together."""
    return float(sum(max(low - x, x - high, 0.0) for x, low, high in zip(sizes, *known, strict=True)))


def ranges(features: Sequence[KernelFeatures]) -> Ranges:
    """What of sizes the profile holds."""
    bounds = {}
    for kind, rows, _ in by_kind(features):
        sizes = np.array([features[row].sizes for row in rows])  # (n, sizes)
        bounds[kind] = (sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist())
    return bounds


UNKNOWN = "unknown"
"""Before the name of a family: the spread of kinds that were not profiled."""

_UNTOLD = 3.0
"""The same where the profile says nothing of a family: a factor of twenty."""

_PER_E_FOLD = 0.25
"""Standard deviation that each e-fold beyond the profile adds."""


@dataclass(frozen=True)
class Forests:
    """What `fit` gives: rooflines, and scikit-learn trees by kind; not kept."""

    rooflines: Mapping[str, Roofline]
    trees: Mapping[str, Any]

    def predict_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """As KernelModel.predict_ms."""
        times_ms = roof_ms(self.rooflines, features) * corrections(self.trees, features)
        return np.maximum(times_ms - TICK_MS, LEAST_MS)


def corrections(trees: Mapping[str, Any], features: Sequence[KernelFeatures]) -> Floats:
    """What the trees multiply each kernel with; (n,)."""
    factors = np.ones(len(features))
    for kind, rows, x in by_kind(features):
        if kind in trees:
            factors[rows] = np.exp(trees[kind].predict(x))
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
    return np.array([np.dot(k.terms, _of(rooflines, k)) for k in features], dtype=np.float64)


def _of(rooflines: Mapping[str, Roofline], kernel: KernelFeatures) -> Roofline:
    """That of the kind, of the family, or of any family: a target may have profiled no kernel of it."""
    return rooflines.get(kernel.kind) or rooflines.get(kernel.family) or rooflines["memory"]


def fit(features: Sequence[KernelFeatures], times_ms: Floats, seed: int) -> Forests:
    """The rooflines and trees of measured times (n,), each above 0.

    Both are fitted on the logarithm of the times and TICK_MS: what is shorter than a tick is noise there.
    """
    times_ms = times_ms + TICK_MS
    rooflines = _rooflines(features, times_ms)
    return Forests(
        rooflines, fit_trees(features, np.log(times_ms / roof_ms(rooflines, features)), times_ms, seed)
    )


def fit_trees(
    features: Sequence[KernelFeatures], rest: Floats, times_ms: Floats, seed: int, leaf: int = _LEAF
) -> dict[str, Any]:
    """Trees by kind on `rest` (n,), the logarithm of what is to be corrected; long kernels weigh more."""
    return {
        kind: _trees(seed, leaf).fit(x, rest[rows], sample_weight=np.sqrt(times_ms[rows]))
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


def _trees(seed: int, leaf: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(
        _TREES, min_samples_leaf=leaf, max_features=_TRIED, random_state=seed, n_jobs=1
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
