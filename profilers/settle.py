"""The last look at the rows of a job: what counts as undisturbed, and what another session would have said.

A machine whose neighbours never rest has too few undisturbed samples for a low quantile: it falls now in
one cluster of samples, now in the next, and repeats to 10 % only. The anchor at which the two halves of the
samples agree best, on average over the job, is then the busy cluster. It is one anchor for all networks and
for the reference, so that ratios stay ratios of like with like. Two sessions of one network then differed by
3 % instead of 9 % on a machine with four jobs per core, and nothing changed on a quiet one.

Where a job has several passes, each network has had as many sessions. Two of them differ by where their memory
lies, small networks on a shared machine by 10 % and more, of which the samples of one know nothing: the
number of a row is the median of its sessions, and its interval includes the usual difference of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .stats import ANCHORS, Summary, flag_of, half_split, low_quantile, summarise, undisturbed

Row = dict[str, Any]
Floats = NDArray[np.float64]

_GAIN = 0.8
"""A higher anchor must lower the disagreement to this share: a low one is nearer to the quiet device."""

_MIN_SAMPLES = 8

UNSTABLE_SESSIONS = 0.1
"""Largest relative difference of two sessions of a network above which its row is flagged."""

_Z95 = 1.96
_MEDIAN = 1.25
"""How much wider a median of few sessions scatters than their mean."""


def settle(rows: Sequence[Row]) -> list[Row]:
    """One row per network and kind, every summary at the anchor that suits the job; `anchor` says which."""
    samples = [_samples(row) for row in rows]
    anchor = choose_anchor([x for x in samples if len(x) >= _MIN_SAMPLES])
    sessions: dict[tuple[Any, Any], list[Row]] = {}
    for row, x in zip(rows, samples):
        sessions.setdefault((row.get("kind"), row["key"]), []).append(_at(row, x, anchor))
    scatter = session_scatter([[row["p50_ms"] for row in of] for of in sessions.values()])
    return [_merged(of, scatter) if len(of) > 1 else of[0] for of in sessions.values()]


def choose_anchor(samples: Sequence[Floats]) -> float:
    """The anchor with the smallest mean disagreement of halves; a low one unless another is far better."""
    best, least = ANCHORS[0], np.inf
    for anchor in ANCHORS if samples else ():
        disagreement = float(np.mean([half_split(x, anchor) for x in samples]))
        if disagreement < (least if least is np.inf else _GAIN * least):
            best, least = anchor, disagreement
    return best


def session_scatter(times: Sequence[Sequence[float]]) -> float:
    """Standard deviation of the logarithm of a session's time, from networks with several; 0 without."""
    logs = [np.log(of) for of in times if len(of) > 1]
    freedom = sum(len(x) - 1 for x in logs)
    return float(np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in logs) / freedom)) if freedom else 0.0


def _samples(row: Row) -> Floats:
    return np.asarray(row["cpu_ms"] if row["clock"] == "cpu" else row["wall_ms"], dtype=np.float64)


def _at(row: Row, samples: Floats, anchor: float) -> Row:
    s, reference = summarise(samples, anchor), np.asarray(row["reference_quantiles_ms"])
    return {
        **row,
        "anchor": anchor,
        **_summary(s),
        "flag": flag_of(s, row.get("cpu_share", 1.0), row["clock"]),
        "reference_p20_ms": low_quantile(reference, anchor),
        "reference_p50_ms": float(np.median(undisturbed(reference, anchor))),
    }


def _summary(s: Summary) -> Row:
    return {
        "p20_ms": s.p20,
        "p50_ms": s.p50,
        "p90_ms": s.p90,
        "ci_low_ms": s.ci_low,
        "ci_high_ms": s.ci_high,
        "ci_pct": s.ci_pct,
        "quiet_share": s.quiet_share,
        "half_split": s.half_split,
        "drift": s.drift,
    }


def _merged(sessions: Sequence[Row], scatter: float) -> Row:
    """The row of a network that had several sessions. scatter: of the logarithm of a session's time.

    Unstable where most sessions are, or where they disagree: one disturbed pass of three does no harm to a
    median.
    """
    ordered = sorted(sessions, key=lambda row: row["pass"])
    typical = {
        name: float(np.median([row[name] for row in ordered]))
        for name in ("p20_ms", "p50_ms", "p90_ms", "ci_pct", "quiet_share", "half_split", "drift")
        + ("cpu_share", "p20_ratio", "reference_p20_ms", "reference_p50_ms")
    }
    p50, n = typical["p50_ms"], len(ordered)
    between = p50 * np.expm1(_Z95 * _MEDIAN * scatter / np.sqrt(n))
    within = [
        np.sqrt(sum((row[end] - row["p50_ms"]) ** 2 for row in ordered)) / n
        for end in ("ci_low_ms", "ci_high_ms")
    ]
    low, high = (float(np.hypot(between, w)) for w in within)
    times = [row["p50_ms"] for row in ordered]
    most = sum(row["flag"] != "ok" for row in ordered) > n / 2
    apart = max(times) / min(times) - 1 > UNSTABLE_SESSIONS
    return {
        **ordered[0],
        **typical,
        "p90_ms": max(typical["p90_ms"], p50),
        "ci_low_ms": max(p50 - low, 0.0),
        "ci_high_ms": p50 + high,
        "n": sum(row["n"] for row in ordered),
        "sessions_ms": times,
        "flag": "unstable" if most or apart else "ok",
        **{name: [x for row in ordered for x in row[name]] for name in ("cpu_ms", "wall_ms", "ratio")},
    }
