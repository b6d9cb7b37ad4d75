"""How much memory a fresh process needs for a network: its own bytes, and what a device adds to them.

Three marks are predicted. Each is the sum of bytes that are known from the file and the kernels, and of what
this device adds (`MemoryTerm`), fitted without negative weights to the memory rows of its profile:

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
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from profilers.kernels import Kernel
from profilers.stats import Floats
from targets.errors import DamagedFileError, UsageError

from .arena import arena_bytes
from .liveness import buffers, peak_live_bytes

MIN_ROWS = 6
"""Fewer networks than this cannot tell two costs apart and be left out one by one as well."""

COPIES_UNDER_WAY = 3
BLOCKED_DOMAIN = "com.microsoft.nchwc"
PACKED = frozenset({"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QGemm", "QLinearMatMul", "QLinearConv"})
"""Operations whose second input is replaced by a packed copy when it is a weight."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a network that follow from its file and its kernels alone.

    loading_bytes, weight_bytes: held at most while loading, and after.
    activation_bytes: the most that lives at one step (`liveness`).
    arena_bytes: what the arena hands out for that.
    outside_bytes: inputs, held by the caller.
    """

    file_bytes: int
    n_kernels: int
    loading_bytes: int
    weight_bytes: int
    activation_bytes: int
    arena_bytes: int
    outside_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryTerm:
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
    """What a network needs in a fresh process.

    peak_bytes: the most that the process holds in its life.
    low_bytes, high_bytes: between them lie the peaks of 90 % of networks.
    peak_load_bytes, loaded_bytes, peak_run_bytes: at most while loading, loaded, at most while running.
    footprint: the bytes that they follow from.
    """

    peak_bytes: int
    low_bytes: int
    high_bytes: int
    peak_load_bytes: int
    loaded_bytes: int
    peak_run_bytes: int
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """What a process costs on a device.

    baseline_bytes: runtime imported, nothing loaded.
    loading, loaded, running: what the device adds to the known bytes.
    margin: 90 % quantile of the relative error of the peak, over networks left out of the fit one by one.
    mape_pct: mean of that error, in percent.
    increment_mape_pct: the same of the peak without the baseline.
    n: networks that it is fitted to.
    """

    baseline_bytes: float
    loading: MemoryTerm
    loaded: MemoryTerm
    running: MemoryTerm
    margin: float
    mape_pct: float
    increment_mape_pct: float
    n: int

    def predict(self, kernels: Sequence[Kernel], file_bytes: int) -> Memory:
        """The memory of a network from its kernels and the size of its file."""
        return self.predict_footprint(footprint(kernels, file_bytes))

    def predict_footprint(self, f: Footprint) -> Memory:
        """The memory of a network with this footprint."""
        load, loaded, run = (
            self.baseline_bytes + x for x in _marks(f, self.loading, self.loaded, self.running)
        )
        peak = max(load, run)
        return Memory(
            peak_bytes=round(peak),
            low_bytes=round(peak * (1 - self.margin)),
            high_bytes=round(peak * (1 + self.margin)),
            peak_load_bytes=round(load),
            loaded_bytes=round(loaded),
            peak_run_bytes=round(run),
            footprint=f,
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
            terms = {name: MemoryTerm(**values[name]) for name in ("loading", "loaded", "running")}
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
        for at, (name, argument) in enumerate(zip(kernel.reads, kernel.inputs, strict=True)):
            if argument.role != "weight":
                continue
            weights[name] = argument.size_bytes
            if at == 1 and kernel.domain == BLOCKED_DOMAIN:
                blocked[name] = weights[name]
            elif at == 1 and kernel.op in PACKED:
                packed = max(packed, weights[name])
    weight_bytes = sum(weights.values())
    copied = under_way = 0
    for size in blocked.values():
        copied += size
        under_way = max(under_way, copied + COPIES_UNDER_WAY * size)
    held = buffers(kernels, recycle=True)
    return Footprint(
        file_bytes=file_bytes,
        n_kernels=len(kernels),
        loading_bytes=max(file_bytes + under_way, weight_bytes + packed),
        weight_bytes=weight_bytes,
        activation_bytes=peak_live_bytes(kernels),
        arena_bytes=arena_bytes(held, len(kernels))[1],
        outside_bytes=sum(b.size_bytes for b in held if b.outside),
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
        predicted[i] = model.predict_footprint(prints[i]).peak_bytes
    error = np.abs(predicted - measured)
    whole = _fit(both, prints)
    return replace(
        whole,
        margin=float(np.quantile(error / measured, 0.9)),
        mape_pct=100 * float(np.mean(error / measured)),
        increment_mape_pct=100 * float(np.mean(error / (measured - whole.baseline_bytes))),
    )


def _marks(
    f: Footprint, loading: MemoryTerm, loaded: MemoryTerm, running: MemoryTerm
) -> tuple[float, float, float]:
    """Bytes over the baseline: at most while loading, loaded, at most while running."""
    weights = loaded.total(f.weight_bytes, f.n_kernels)
    run = running.total(f.arena_bytes + f.outside_bytes, f.n_kernels)
    return loading.total(f.loading_bytes, f.n_kernels), weights, weights + run


def _fit(rows: Sequence[Mapping[str, Any]], prints: Sequence[Footprint]) -> MemoryModel:
    """The model without its errors."""
    base = float(np.median([row["baseline_bytes"] for row in rows]))
    n = np.array([f.n_kernels for f in prints], dtype=np.float64)
    scale = np.array([row["peak_bytes"] for row in rows], dtype=np.float64)
    baseline = np.array([row["baseline_bytes"] for row in rows], dtype=np.float64)
    load, loaded = (np.array([row[name] for row in rows]) for name in ("peak_load_bytes", "loaded_bytes"))
    # A system that cannot reset its mark shows the peak of the run only where it is that of the process.
    shown = [
        row["peak_run_bytes"] or (row["peak_bytes"] > row["peak_load_bytes"]) * row["peak_bytes"]
        for row in rows
    ]
    run = np.array(shown, dtype=np.float64)
    seen = run > 0
    run_bytes = np.array([f.arena_bytes + f.outside_bytes for f in prints])
    return MemoryModel(
        baseline_bytes=base,
        loading=_term(load - baseline, np.array([f.loading_bytes for f in prints]), n, scale),
        loaded=_term(loaded - baseline, np.array([f.weight_bytes for f in prints]), n, scale),
        running=_term((run - loaded)[seen], run_bytes[seen], n[seen], scale[seen]),
        margin=0.0,
        mape_pct=0.0,
        increment_mape_pct=0.0,
        n=len(rows),
    )


def _term(measured: Floats, known: Any, n_kernels: Floats, scale: Floats) -> MemoryTerm:
    """Non-negative least squares of what is measured beyond the known bytes, relative to `scale`."""
    from scipy.optimize import nnls

    if not len(measured):
        return MemoryTerm(0.0, 0.0, 0.0)
    x = np.column_stack([np.ones(len(known)), n_kernels, np.asarray(known, dtype=np.float64)])
    size = np.maximum(x.max(axis=0), 1.0)
    weights = nnls(x / size / scale[:, None], (measured - known) / scale)[0] / size
    return MemoryTerm(*(float(w) for w in weights))
