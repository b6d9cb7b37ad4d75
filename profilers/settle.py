"""The last look at the rows of a job: which samples count as undisturbed, decided for all networks together.

A machine whose neighbours never rest has too few undisturbed samples for a low quantile: it falls now in
one cluster of samples, now in the next, and repeats to 10 % only. The anchor at which the two halves of the
samples agree best, on average over the job, is then the busy cluster. It is one anchor for all networks and
for the reference, so that ratios stay ratios of like with like. Two sessions of one network then differed by
3 % instead of 9 % on a machine with four jobs per core, and nothing changed on a quiet one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .stats import ANCHORS, half_split, low_quantile, summarise, undisturbed

_GAIN = 0.8
"""A higher anchor must lower the disagreement to this share: a low one is nearer to the quiet device."""

_MIN_SAMPLES = 8


def settle(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with every summary taken at the anchor that suits the job; `anchor` says which."""
    samples = [_samples(row) for row in rows]
    anchor = choose_anchor([x for x in samples if len(x) >= _MIN_SAMPLES])
    return [_at(row, x, anchor) for row, x in zip(rows, samples)]


def choose_anchor(samples: list[np.ndarray[Any, np.dtype[np.float64]]]) -> float:
    """The anchor with the smallest mean disagreement of halves; a low one unless another is far better."""
    best, least = ANCHORS[0], np.inf
    for anchor in ANCHORS if samples else ():
        disagreement = float(np.mean([half_split(x, anchor) for x in samples]))
        if disagreement < (least if least is np.inf else _GAIN * least):
            best, least = anchor, disagreement
    return best


def _samples(row: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(row["cpu_ms"] if row["clock"] == "cpu" else row["wall_ms"], dtype=np.float64)


def _at(row: dict[str, Any], samples: np.ndarray[Any, np.dtype[np.float64]], anchor: float) -> dict[str, Any]:
    s, reference = summarise(samples, anchor), np.asarray(row["reference_quantiles_ms"])
    return {
        **row,
        "anchor": anchor,
        "p20_ms": s.p20,
        "p50_ms": s.p50,
        "p90_ms": s.p90,
        "ci_low_ms": s.ci_low,
        "ci_high_ms": s.ci_high,
        "ci_pct": s.ci_pct,
        "quiet_share": s.quiet_share,
        "half_split": s.half_split,
        "drift": s.drift,
        "flag": s.flag,
        "reference_p20_ms": low_quantile(reference, anchor),
        "reference_p50_ms": float(np.median(undisturbed(reference, anchor))),
    }
