"""Milliseconds of a kernel: a roofline per kind, corrected by trees on the logarithm of the rest.

The roofline says how a kind of kernel scales (non-negative weights of a call, MACs, bytes read, written and of
weights; Williams et al. 2009), so that the prediction is sane beyond what was seen; the trees say how far this
shape is from it. Trees are stored as ONNX (skl2onnx): no scikit-learn to predict, no code run on load.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import NAMES, Kernel

Floats = NDArray[np.float64]

MIN_OF_KIND = 8
"""Fewer samples of a kind than this share the roofline of their family."""

FEW = 50
"""Kinds with fewer samples are flagged in every answer (`latency-predictor.md`: an attention network was
20 % too fast because three of its kernels had none)."""

_REWEIGHTED = 12
_TREES = 120
_LEAF = 2
_OPSET = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class KernelModel:
    """rooflines: ms per term, by kind or family. trees: ONNX per family. counts: samples per kind.

    spread: standard deviation of log(measured / predicted) per kind or family, on networks not seen.
    """

    rooflines: Mapping[str, tuple[float, ...]]
    trees: Mapping[str, bytes]
    counts: Mapping[str, int]
    spread: Mapping[str, float]

    def predict_ms(self, kernels: Sequence[Kernel]) -> Floats:
        """Milliseconds of each kernel in context; (n,)."""
        out = roof_ms(self.rooflines, kernels)
        for family, rows, x in _by_family(kernels):
            if family in self.trees:
                out[rows] *= np.exp(_run(self.trees[family], x))
        return out

    def log_spread(self, kernels: Sequence[Kernel]) -> Floats:
        """Standard deviation of the logarithm of each prediction; (n,)."""
        return np.array([self.spread.get(k.kind, self.spread.get(k.family, 1.0)) for k in kernels])


def _run(model: bytes, x: NDArray[np.float32]) -> Floats:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0], dtype=np.float64).ravel()


def roof_ms(rooflines: Mapping[str, tuple[float, ...]], kernels: Sequence[Kernel]) -> Floats:
    """The rooflines' milliseconds; a kind without one has that of its family."""
    return np.array(
        [np.dot(k.terms, rooflines.get(k.kind) or rooflines[k.family]) for k in kernels], dtype=np.float64
    )


def fit(kernels: Sequence[Kernel], times_ms: Floats, seed: int) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """(scikit-learn trees per family, rooflines) of measured times (n,)."""
    rooflines = _rooflines(kernels, times_ms)
    rest = np.log(times_ms / roof_ms(rooflines, kernels))
    trees = {
        family: _trees(seed).fit(x, rest[rows], sample_weight=np.sqrt(times_ms[rows]))
        for family, rows, x in _by_family(kernels)
    }
    return trees, rooflines


def predict_once(fitted: tuple[dict[str, Any], dict[str, tuple[float, ...]]], kernels: Sequence[Kernel]) -> Floats:
    """Predictions of `fit`'s result that is not kept, as KernelModel makes them."""
    trees, rooflines = fitted
    out = roof_ms(rooflines, kernels)
    for family, rows, x in _by_family(kernels):
        if family in trees:
            out[rows] *= np.exp(trees[family].predict(x))
    return out


def stored(
    fitted: tuple[dict[str, Any], dict[str, tuple[float, ...]]], kernels: Sequence[Kernel], spread: Mapping[str, float]
) -> KernelModel:
    """The model that is kept, its trees as ONNX."""
    from skl2onnx import to_onnx

    trees, rooflines = fitted
    models = {
        family: bytes(
            to_onnx(
                forest, np.zeros((1, len(NAMES[family])), np.float32), target_opset=_OPSET
            ).SerializeToString()
        )
        for family, forest in trees.items()
    }
    return KernelModel(rooflines, models, dict(Counter(k.kind for k in kernels)), spread)


def _trees(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(
        _TREES, min_samples_leaf=_LEAF, max_features=0.5, random_state=seed, n_jobs=1
    )


def _by_family(kernels: Sequence[Kernel]) -> list[tuple[str, NDArray[np.int64], NDArray[np.float32]]]:
    """(family, indices, features) for each family that occurs."""
    out = []
    for family in sorted({k.family for k in kernels}):
        rows = np.array([i for i, k in enumerate(kernels) if k.family == family], dtype=np.int64)
        out.append((family, rows, np.array([kernels[i].values for i in rows], dtype=np.float32)))
    return out


def _rooflines(kernels: Sequence[Kernel], times_ms: Floats) -> dict[str, tuple[float, ...]]:
    terms = np.array([k.terms for k in kernels], dtype=np.float64)
    groups: dict[str, list[int]] = {}
    for i, k in enumerate(kernels):
        groups.setdefault(k.kind, []).append(i)
        groups.setdefault(k.family, []).append(i)
    return {
        name: _roofline(terms[rows], times_ms[rows])
        for name, rows in groups.items()
        if len(rows) >= MIN_OF_KIND or name in NAMES
    }


def _roofline(terms: Floats, times_ms: Floats) -> tuple[float, ...]:
    """Non-negative weights of the least sum of |log(predicted / measured)|; a call costs something.

    Iteratively reweighted least squares of predicted / measured - 1. Without the reweighting, spread pulls the
    weights down: relative squares forgive a prediction of nothing, which is off by 1, and punish one of three
    times (30 % too fast on networks of a model zoo, 6 % with it).
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
