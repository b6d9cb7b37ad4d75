"""From the rows of a finished job to one row per network: which samples count, and how far sessions differ.

A machine whose neighbours never rest has too few undisturbed samples for a low quantile: the quantile falls
now in one cluster of samples, now in the next, and repeats to 10 % only. The anchor at which the two halves
of the samples agree best, on average over the job, is then the busy cluster. All networks and the reference
share one anchor, so that ratios compare like with like. Two sessions of one network then differed by 3 %
instead of 9 % on a machine with four jobs per core; nothing changed on a quiet one.

A job of several passes has as many sessions of each network. Two sessions differ because their memory lies
elsewhere: small networks on a shared machine by 10 % and more, which the samples of one session cannot show.
So a row holds the median of its sessions, and its interval includes the usual difference of two.

If others came and went while a job ran (`neighbours`), only the sessions that had the machine to themselves
count. A network without such a session is flagged: its number says more about the neighbour than about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .neighbours import LEAST, alone, counted
from .rows import MeasuredRow
from .stats import (
    ANCHORS,
    Floats,
    Summary,
    flagged,
    half_split,
    low_quantile,
    reasons_of,
    summarise,
    undisturbed,
)

_GAIN = 0.8
"""A higher anchor must lower the disagreement to this share: a low one is nearer to the quiet device."""

_MIN_SAMPLES = 8

_TYPICAL = (
    "p20_ms", "p50_ms", "p90_ms", "ci_pct", "quiet_share", "half_split", "drift", "cpu_share", "p20_ratio",
    "reference_p20_ms", "reference_p50_ms",
)  # fmt: skip
"""Fields of a row of which the median of the sessions counts."""

UNSTABLE_SESSIONS = 0.1
"""Largest relative difference of two sessions of a network above which its row is flagged."""

_Z95 = 1.96
_MEDIAN = 1.25
"""How much wider a median of few sessions scatters than their mean."""


def settle(rows: Sequence[MeasuredRow]) -> list[MeasuredRow]:
    """One row per network and kind, every summary at the anchor that suits the job; `anchor` says which."""
    networks: dict[tuple[Any, Any], list[MeasuredRow]] = {}
    for row in rows:
        networks.setdefault((row.get("kind"), row["key"]), []).append(row)
    calm = {of: [row for row in sessions if _calm(row)] for of, sessions in networks.items()}
    disturbed = {of for of, sessions in calm.items() if not sessions} if any(calm.values()) else set()
    counting = [calm[of] or sessions for of, sessions in networks.items()]
    samples = [_samples(row) for sessions in counting for row in sessions]
    anchor = choose_anchor([x for x in samples if len(x) >= _MIN_SAMPLES])
    settled = [[_at(row, _samples(row), anchor) for row in sessions] for sessions in counting]
    scatter = session_scatter([[row["p50_ms"] for row in of] for of in settled])
    merged = zip(networks, (_merged(sessions, scatter) for sessions in settled))
    return [_beside_others(row) if of in disturbed else row for of, row in merged]


def _beside_others(row: MeasuredRow) -> MeasuredRow:
    """The row of a network that never had the machine to itself, where others of its job had."""
    cpus = row.get("others_cpus") or [0.0]
    said = [f"others used {np.median(cpus):.1f} CPUs", *([row["reason"]] if row["reason"] else [])]
    return {**row, **flagged(said)}


def choose_anchor(samples: Sequence[Floats]) -> float:
    """The anchor with the smallest mean disagreement of halves; a low one unless another is far better."""
    best, least = ANCHORS[0], np.inf
    for anchor in ANCHORS if samples else ():
        disagreement = float(np.mean([half_split(x, anchor) for x in samples]))
        if disagreement < (least if least is np.inf else _GAIN * least):
            best, least = anchor, disagreement
    return best


def session_scatter(times: Sequence[Sequence[float]]) -> float:
    """Standard deviation of the logarithm of a session's time, from networks with several; 0 without.

    Networks whose sessions disagree are left out: they are flagged, and say nothing of the others.
    """
    logs = [np.log(of) for of in times if len(of) > 1 and max(of) / min(of) - 1 <= UNSTABLE_SESSIONS]
    freedom = sum(len(x) - 1 for x in logs)
    return float(np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in logs) / freedom)) if freedom else 0.0


def _calm(row: MeasuredRow) -> bool:
    cpus = row.get("others_cpus", ())
    return len(cpus) > 0 and alone(cpus, min(LEAST, len(cpus))) is not None


def _samples(row: MeasuredRow) -> Floats:
    times = np.asarray(row["cpu_ms"] if row["clock"] == "cpu" else row["wall_ms"], dtype=np.float64)
    return counted(times, row.get("others_cpus", ()))


def _at(row: MeasuredRow, samples: Floats, anchor: float) -> MeasuredRow:
    s, reference = summarise(samples, anchor), np.asarray(row["reference_quantiles_ms"])
    return {
        **row,
        "anchor": anchor,
        **_summary(s),
        **flagged(reasons_of(s, row.get("cpu_share"), row["clock"])),
        "reference_p20_ms": low_quantile(reference, anchor),
        "reference_p50_ms": float(np.median(undisturbed(reference, anchor))),
    }


def _summary(s: Summary) -> MeasuredRow:
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


def _merged(sessions: Sequence[MeasuredRow], scatter: float) -> MeasuredRow:
    """The row of a network from its sessions that count. scatter: of the logarithm of a session's time."""
    ordered = sorted(sessions, key=lambda row: row["pass"])
    known = [name for name in _TYPICAL if ordered[0].get(name) is not None]
    typical = {name: float(np.median([row[name] for row in ordered])) for name in known}
    p50, n = typical["p50_ms"], len(ordered)
    times = [row["p50_ms"] for row in ordered]
    own = float(np.std(np.log(times), ddof=1)) if n > 1 else 0.0
    between = p50 * np.expm1(_Z95 * _MEDIAN * max(scatter, own) / np.sqrt(n))
    within = [
        np.sqrt(sum((row[end] - row["p50_ms"]) ** 2 for row in ordered)) / n
        for end in ("ci_low_ms", "ci_high_ms")
    ]
    low, high = (float(np.hypot(between, w)) for w in within)
    n_samples = sum(row["n"] for row in ordered)
    p20 = typical["p20_ms"]
    whole = Summary(
        n=n_samples,
        p20=p20,
        p50=p50,
        p90=max(typical["p90_ms"], p50),
        ci_low=max(p50 - low, 0.0),
        ci_high=p50 + high,
        p20_low=p20 * (1 - typical["ci_pct"] / 100),
        p20_high=p20 * (1 + typical["ci_pct"] / 100),
        half_split=typical["half_split"],
        drift=typical["drift"],
        quiet_share=typical["quiet_share"],
    )
    reasons = reasons_of(whole, typical.get("cpu_share"), ordered[0]["clock"])
    apart = max(times) / min(times) - 1
    if apart > UNSTABLE_SESSIONS:
        reasons.insert(0, f"sessions differ by {apart:.0%}")
    return {
        **ordered[0],
        **typical,
        **_summary(whole),
        "n": n_samples,
        "sessions_ms": times,
        **flagged(reasons),
        **_joined(ordered),
    }


def _joined(sessions: Sequence[MeasuredRow]) -> MeasuredRow:
    """The samples of all sessions; `others_cpus` is empty, unknown, where one session lacks it."""
    names = ("cpu_ms", "wall_ms", "ratio", "others_cpus")
    known = all(row.get("others_cpus") for row in sessions)
    return {n: [x for row in sessions for x in row[n]] if known or n != "others_cpus" else [] for n in names}
