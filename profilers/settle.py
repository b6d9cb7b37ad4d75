"""From the rows of a finished job to one row per network: which samples count, and how far sessions differ.

A machine whose neighbours never rest has too few undisturbed samples for a low quantile: the quantile falls
now in one cluster of samples, now in the next, and repeats to 10 % only. The anchor at which the two halves
of the samples agree best, on average over the job, is then the busy cluster. All networks and the reference
share one anchor, so that ratios compare like with like. Two sessions of one network then differed by 3 %
instead of 9 % on a machine with four jobs per core; nothing changed on a quiet one.

A job of several passes has as many sessions of each network. Two sessions differ because their memory lies
elsewhere: small networks on a shared machine by 10 % and more, which the samples of one session cannot show.
So a row holds the median of its sessions, and its interval includes the usual difference of two and each
session that was seen. Where sessions agree, what disturbed the samples of one is no reason to distrust the
number: the interval is then as wide as what was seen, and the flag is `ok`. How far they may be apart follows
from the noise floor of the device, which is how far sessions of the reference network are.

If others came and went while a job ran (`neighbours`), only the sessions that had the machine to themselves
count. A network without such a session is flagged: its number says more about the neighbour than about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

UNSTABLE_SESSIONS, MOST_UNSTABLE = 0.1, 0.2
"""Largest relative difference of two sessions of a network, and half of an interval, above which a row is
flagged: the first on a device whose reference network repeats, the second on any."""

_FLOORS = 1.5
"""How many times the noise floor of the device a network may differ by."""

_Z95 = 1.96
_T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for 1 to 10 degrees of freedom; with more it is near 1.96 + 2.6 / freedom."""

_MEDIAN = 1.25
"""How much wider a median of few sessions scatters than their mean."""

_ROBUST, _TYPICAL_SD = 5, {2: 0.675, 3: 0.833}
"""Networks from which on the middle one of their standard deviations counts; by sessions, what share of the
true one the middle one is of normal times, from the quantiles of chi-square. With more sessions near 1."""


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
    floor = noise_floor([[row["reference_p50_ms"] for row in of] for of in settled])
    merged = zip(networks, (_merged(sessions, scatter, floor) for sessions in settled))
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


@dataclass(frozen=True)
class Scatter:
    """How sessions of a network scatter. sd: of the logarithm of a session's time, with so much freedom."""

    sd: float = 0.0
    freedom: int = 0

    @property
    def half(self) -> float:
        """Half of a 95 % interval of one session, of the logarithm."""
        return student_95(self.freedom) * self.sd if self.freedom else 0.0


def session_scatter(times: Sequence[Sequence[float]]) -> Scatter:
    """The scatter from the times of the sessions of each network; 0 where none has several.

    Networks whose sessions disagree are left out: they are flagged, and say nothing of the others. Where so
    many disagree that the others agree by luck, the middle one of all networks says more.
    """
    logs = [np.log(of) for of in times if len(of) > 1]
    agreeing = [x for x in logs if np.exp(np.ptp(x)) - 1 <= UNSTABLE_SESSIONS]
    freedom = sum(len(x) - 1 for x in agreeing)
    pooled = float(np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in agreeing) / freedom)) if freedom else 0.0
    middle = [float(x.std(ddof=1)) / _TYPICAL_SD.get(len(x), 1.0) for x in logs]
    typical = float(np.median(middle)) if len(logs) >= _ROBUST else 0.0
    return Scatter(max(pooled, typical), freedom or (len(logs) if typical else 0))


def noise_floor(reference_ms: Sequence[Sequence[float]]) -> float:
    """How far the reference network differs between the sessions of a network, usually; 0 without several."""
    apart = [max(of) / min(of) - 1 for of in reference_ms if len(of) > 1]
    return float(np.median(apart)) if apart else 0.0


def student_95(freedom: int) -> float:
    """Student's t of a 95 % interval.

    >>> student_95(2), round(student_95(26), 2)
    (4.3, 2.06)
    """
    return _T95[freedom - 1] if freedom <= len(_T95) else _Z95 + 2.6 / freedom


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


def _merged(sessions: Sequence[MeasuredRow], scatter: Scatter, floor: float) -> MeasuredRow:
    """The row of a network from its sessions that count. floor: as of `noise_floor`."""
    ordered = sorted(sessions, key=lambda row: row["pass"])
    known = [name for name in _TYPICAL if ordered[0].get(name) is not None]
    typical = {name: float(np.median([row[name] for row in ordered])) for name in known}
    whole = _whole(ordered, typical, scatter)
    times = [row["p50_ms"] for row in ordered]
    if len(times) > 1:
        reasons = _between(times, whole, floor)
    else:
        reasons = reasons_of(whole, typical.get("cpu_share"), ordered[0]["clock"])
    return {
        **ordered[0],
        **typical,
        **_summary(whole),
        "n": whole.n,
        "sessions_ms": times,
        **flagged(reasons),
        **_joined(ordered),
    }


def _whole(ordered: Sequence[MeasuredRow], typical: dict[str, float], scatter: Scatter) -> Summary:
    """The summary of all sessions. Their interval holds each of them, and follows from how far they differ.

    What disturbs the samples of a session is part of that difference. Only one session alone is as uncertain
    as its samples and as sessions usually differ.
    """
    p50, p20, n = typical["p50_ms"], typical["p20_ms"], len(ordered)
    times = [row["p50_ms"] for row in ordered]
    own = float(np.std(np.log(times), ddof=1)) if n > 1 else 0.0
    between = p50 * np.expm1(_MEDIAN * max(scatter.half, _Z95 * own) / np.sqrt(n))
    alone = ordered[0]
    within = [abs(alone[end] - p50) if n == 1 else 0.0 for end in ("ci_low_ms", "ci_high_ms")]
    low, high = (float(np.hypot(between, w)) for w in within)
    return Summary(
        n=sum(row["n"] for row in ordered),
        p20=p20,
        p50=p50,
        p90=max(typical["p90_ms"], p50),
        ci_low=max(min([p50 - low, *times]), 0.0),
        ci_high=max([p50 + high, *times]),
        p20_low=p20 * (1 - typical["ci_pct"] / 100),
        p20_high=p20 * (1 + typical["ci_pct"] / 100),
        half_split=typical["half_split"],
        drift=typical["drift"],
        quiet_share=typical["quiet_share"],
    )


def _between(times: Sequence[float], whole: Summary, floor: float) -> list[str]:
    """Why a network of several sessions is unstable: they differ, or the interval is too wide."""
    most = min(max(UNSTABLE_SESSIONS, _FLOORS * floor), MOST_UNSTABLE)
    apart, width = max(times) / min(times) - 1, whole.width
    beside = f", those of the reference network by {floor:.0%}" if floor > UNSTABLE_SESSIONS / 2 else ""
    if apart > most:
        return [f"sessions differ by {apart:.0%}{beside}"]
    return [f"the interval is {width:.0%} wide on a side{beside}"] if width > most else []


def _joined(sessions: Sequence[MeasuredRow]) -> MeasuredRow:
    """The samples of all sessions; `others_cpus` is empty, unknown, where one session lacks it."""
    names = ("cpu_ms", "wall_ms", "ratio", "others_cpus")
    known = all(row.get("others_cpus") for row in sessions)
    return {n: [x for row in sessions for x in row[n]] if known or n != "others_cpus" else [] for n in names}
