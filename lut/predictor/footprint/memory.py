"""How much memory a fresh process needs for a network: what onnxruntime does with its bytes, and their price
here.

Three marks are predicted, each the sum of bytes that are known from the file and the kernels, and of what
this device adds (`Term`), fitted without negative weights to the memory rows of its profile:

- while loading: the file's weights, the blocked copies made so far, and the one under way in three copies
  (the filter, its message and its tensor; core/optimizer/nchwc_transformer.cc); or, if that is more, all
  weights and a packed copy of one that is about to replace it
  (SessionState::PrepackConstantInitializedTensors);
- loaded: the weights of the optimised graph, each once;
- running: those, and what the arena hands out (`arena`).

The peak is the larger of the first and the last. It is that of a process whose allocator returns what is
freed (`profilers.memory`); glibc's moving thresholds may keep up to as much again as the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.kernels import argument_bytes
from targets.errors import DamagedFileError, UsageError

from .arena import arena_bytes
from .liveness import Kernel, buffers, peak_live_bytes

Floats = NDArray[np.float64]

MIN_ROWS = 6
"""Fewer networks than this cannot tell two costs apart and be left out one by one as well."""

COPIES_UNDER_WAY = 3
BLOCKED_DOMAIN = "com.microsoft.nchwc"
PACKED = frozenset({"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QGemm", "QLinearMatMul", "QLinearConv"})
"""Operations whose second input is replaced by a packed copy when it is a weight."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a network that follow from its file and its kernels alone.

    loading_bytes, weight_bytes: held at most while loading, and after. activation_bytes: the most that lives
    at one step (`liveness`). arena_bytes: what the arena hands out for that. outside_bytes: inputs, held by
    the caller.
    """

    file_bytes: int
    n_kernels: int
    loading_bytes: int
    weight_bytes: int
    activation_bytes: int
    arena_bytes: int
    outside_bytes: int


@dataclass(frozen=True, slots=True)
class Term:
    """What the device adds to known bytes: a constant, bytes per kernel, a share of the known bytes."""

    fixed_bytes: float
    per_kernel_bytes: float
    share: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (isinstance(value, float) and math.isfinite(value) and value >= 0):
                raise DamagedFileError(f"memory model: {name} must be a number of at least 0, got {value!r}")

    def total(self, known_bytes: float, n_kernels: int) -> float:
        """Known bytes and what is added to them."""
        return self.fixed_bytes + self.per_kernel_bytes * n_kernels + (1 + self.share) * known_bytes


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one network in a fresh process, bytes. low, high: 90 % of networks lie between them."""

    peak_bytes: int
    low_bytes: int
    high_bytes: int
    peak_load_bytes: int
    loaded_bytes: int
    peak_run_bytes: int
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """What a process costs on a device. baseline_bytes: runtime imported, nothing loaded.

    margin: 90 % quantile of the relative error of the peak over networks that the fit had not seen, one at a
    time; mape_pct: its mean there, in percent; increment_mape_pct: of the peak without the baseline. n:
    networks.
    """

    baseline_bytes: float
    loading: Term
    loaded: Term
    running: Term
    margin: float
    mape_pct: float
    increment_mape_pct: float
    n: int

    def predict(self, kernels: Sequence[Kernel], file_bytes: int) -> Memory:
        """The memory of a network from its kernels and the size of its file."""
        return self.of(footprint(kernels, file_bytes))

    def of(self, f: Footprint) -> Memory:
        """The memory of a network with this footprint."""
        load, loaded, run = (
            self.baseline_bytes + x for x in _marks(f, self.loading, self.loaded, self.running)
        )
        peak = max(load, run)
        return Memory(
            round(peak),
            round(peak * (1 - self.margin)),
            round(peak * (1 + self.margin)),
            round(load),
            round(loaded),
            round(run),
            f,
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `MemoryModel.from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, where: str = "memory model") -> MemoryModel:
        """The model of these fields; DamagedFileError says what is wrong with them."""
        names = [f.name for f in fields(cls)]
        if not isinstance(values, Mapping) or sorted(values) != sorted(names):
            raise DamagedFileError(f"{where}: expected the fields {', '.join(names)}; fit it again")
        try:
            terms = {name: Term(**values[name]) for name in ("loading", "loaded", "running")}
        except TypeError as error:
            raise DamagedFileError(f"{where}: {error}; fit it again") from None
        for name in set(names) - set(terms):
            if type(values[name]) not in (int, float) or not math.isfinite(values[name]) or values[name] < 0:
                raise DamagedFileError(
                    f"{where}: {name} must be a number of at least 0, got {values[name]!r}"
                )
        return cls(**{**values, **terms})


def footprint(kernels: Sequence[Kernel], file_bytes: int) -> Footprint:
    """What a network's kernels and file hold, before any device adds to it."""
    weights: dict[str, int] = {}
    blocked: dict[str, int] = {}
    packed = 0
    for kernel in kernels:
        for at, (name, argument) in enumerate(zip(kernel["reads"], kernel["inputs"], strict=True)):
            if argument[0] != "weight":
                continue
            weights[name] = argument_bytes(argument)
            if at == 1 and kernel["domain"] == BLOCKED_DOMAIN:
                blocked[name] = weights[name]
            elif at == 1 and kernel["op"] in PACKED:
                packed = max(packed, weights[name])
    weight_bytes = sum(weights.values())
    made = under_way = 0
    for size in blocked.values():
        made += size
        under_way = max(under_way, made + COPIES_UNDER_WAY * size)
    held = buffers(kernels, recycle=True)
    return Footprint(
        file_bytes,
        len(kernels),
        max(file_bytes + under_way, weight_bytes + packed),
        weight_bytes,
        peak_live_bytes(kernels),
        arena_bytes(held, len(kernels))[1],
        sum(b.size_bytes for b in held if b.outside),
    )


def fit_memory(rows: Sequence[Mapping[str, Any]], kernels: Mapping[str, Sequence[Kernel]]) -> MemoryModel:
    """The model of a device from its memory rows and, by key, the kernels of the same networks."""
    both = [row for row in rows if row["key"] in kernels]
    if len(both) < MIN_ROWS:
        raise UsageError(
            f"memory: {len(both)} networks have both a memory row and kernels, {MIN_ROWS} are needed; "
            "profile more"
        )
    prints = [footprint(kernels[row["key"]], row["file_bytes"]) for row in both]
    measured = np.array([row["peak_bytes"] for row in both], dtype=np.float64)
    predicted = np.empty(len(both))
    for i in range(len(both)):
        rest = [j for j in range(len(both)) if j != i]
        model = _fit([both[j] for j in rest], [prints[j] for j in rest])
        predicted[i] = model.of(prints[i]).peak_bytes
    error = np.abs(predicted - measured)
    whole = _fit(both, prints)
    return MemoryModel(
        whole.baseline_bytes,
        whole.loading,
        whole.loaded,
        whole.running,
        float(np.quantile(error / measured, 0.9)),
        100 * float(np.mean(error / measured)),
        100 * float(np.mean(error / (measured - whole.baseline_bytes))),
        len(both),
    )


def _marks(f: Footprint, loading: Term, loaded: Term, running: Term) -> tuple[float, float, float]:
    """Bytes over the baseline: at most while loading, loaded, at most while running."""
    weights = loaded.total(f.weight_bytes, f.n_kernels)
    run = running.total(f.arena_bytes + f.outside_bytes, f.n_kernels)
    return loading.total(f.loading_bytes, f.n_kernels), weights, weights + run


def _fit(rows: Sequence[Mapping[str, Any]], prints: Sequence[Footprint]) -> MemoryModel:
    """The model without its errors."""
    base = float(np.median([row["baseline_bytes"] for row in rows]))
    n = np.array([f.n_kernels for f in prints], dtype=np.float64)
    scale = np.array([row["peak_bytes"] for row in rows], dtype=np.float64)
    own = np.array([row["baseline_bytes"] for row in rows], dtype=np.float64)
    load, loaded = (np.array([row[name] for row in rows]) for name in ("peak_load_bytes", "loaded_bytes"))
    # A system that cannot reset its mark shows the peak of the run only where it is that of the process.
    shown = [
        row["peak_run_bytes"] or (row["peak_bytes"] > row["peak_load_bytes"]) * row["peak_bytes"]
        for row in rows
    ]
    run = np.array(shown, dtype=np.float64)
    seen = run > 0
    return MemoryModel(
        base,
        _term(load - own, np.array([f.loading_bytes for f in prints]), n, scale),
        _term(loaded - own, np.array([f.weight_bytes for f in prints]), n, scale),
        _term(
            (run - loaded)[seen],
            np.array([f.arena_bytes + f.outside_bytes for f in prints])[seen],
            n[seen],
            scale[seen],
        ),
        0.0,
        0.0,
        0.0,
        len(rows),
    )


def _term(measured: Floats, known: Any, n_kernels: Floats, scale: Floats) -> Term:
    """Non-negative least squares of what is measured beyond the known bytes, relative to `scale`."""
    from scipy.optimize import nnls

    if not len(measured):
        return Term(0.0, 0.0, 0.0)
    x = np.column_stack([np.ones(len(known)), n_kernels, np.asarray(known, dtype=np.float64)])
    size = np.maximum(x.max(axis=0), 1.0)
    weights = nnls(x / size / scale[:, None], (measured - known) / scale)[0] / size
    return Term(*(float(w) for w in weights))
