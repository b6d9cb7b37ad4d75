"""What a row of a device may be: the fields that are computed with, their types and their sizes.

A device, and a file of rows, are not trusted: what is wrong is told here, once, by the name of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from targets.errors import DamagedFileError

from .kernels import row_kernels
from .rows import MeasuredRow

_Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _HUGE


def _positive(value: Any) -> bool:
    return _number(value) and bool(value > 0)


def _not_negative(value: Any) -> bool:
    return _number(value) and bool(value >= 0)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _HUGE


def _optional(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _list_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _text(value: Any) -> bool:
    return isinstance(value, str)


_HUGE = 1e18
_TIMED: Mapping[str, _Check] = {
    "n": _count,
    "p20_ms": _positive,
    "p50_ms": _positive,
    "p90_ms": _positive,
    "ci_low_ms": _not_negative,
    "ci_high_ms": _positive,
    "clock": lambda value: value in ("cpu", "wall"),
    "flag": lambda value: value in ("ok", "unstable"),
    "reference_p50_ms": _positive,
    "reference_quantiles_ms": _list_of(_positive),
    "cpu_ms": _list_of(_not_negative),
    "wall_ms": _list_of(_not_negative),
    "ratio": _list_of(_positive),
}
_NEEDED: Mapping[str, Mapping[str, _Check]] = {
    "time": _TIMED,
    "kernels": {
        **_TIMED,
        "kernel_us": _list_of(_list_of(_not_negative)),
        "kernels": _list_of(lambda _: True),
    },
    "energy": {},
    "memory": {
        **dict.fromkeys(("file_bytes", "baseline_bytes", "loaded_bytes", "peak_load_bytes"), _not_negative),
        "peak_bytes": _positive,
        "peak_run_bytes": _optional(_not_negative),
    },
}
_IF_THERE: Mapping[str, _Check] = {
    "reason": _text,
    "others_cpus": _list_of(_not_negative),
    "unavailable": _text,
    "source": _text,
    **dict.fromkeys(
        ("cpu_share", "load_s", "energy_spread", "peak_spread", "load_spread"), _optional(_not_negative)
    ),
    **dict.fromkeys(("ci_pct", "quiet_share", "half_split"), _not_negative),
    **dict.fromkeys(("drift", "p20_ratio", "energy_mj", "rest_mw", "load_mw"), _number),
    **dict.fromkeys(("load_ms", "first_run_ms", "peak_default_bytes"), _not_negative),
    "reference_p20_ms": _positive,
}
"""Fields of some versions and some devices."""


def checked_rows(rows: Sequence[MeasuredRow], where: str) -> list[MeasuredRow]:
    """The rows; DamagedFileError names `where`, the row and the field that is none."""
    for number, row in enumerate(rows, 1):
        fault = _fault(row)
        if fault:
            raise DamagedFileError(
                f"{where}, row {number}: {fault}; delete it to measure again, and update hwnas on the device"
            )
    return list(rows)


def _fault(row: MeasuredRow) -> str:
    """What is wrong, '' where nothing is."""
    needed = _NEEDED.get(row["kind"])
    if needed is None:
        return f"unknown kind {row['kind'][:40]!r}; known: {', '.join(_NEEDED)}"
    for name, check in needed.items():
        if name not in row:
            return f"a row of kind {row['kind']} has no {name}"
        if not check(row[name]):
            return f"{name} is {_shown(row[name])}"
    for name, check in _IF_THERE.items():
        if name in row and not check(row[name]):
            return f"{name} is {_shown(row[name])}"
    return _uneven(row) if "cpu_ms" in needed else ""


def _uneven(row: MeasuredRow) -> str:
    """Lists that belong together and differ in length; times of 0 by the clock that counts."""
    clock = f"{row['clock']}_ms"
    n = len(row[clock])
    lengths = {name: len(row.get(name) or ()) for name in ("cpu_ms", "wall_ms", "ratio", "others_cpus")}
    if row["kind"] == "kernels":
        widths = {len(times) for times in row["kernel_us"]} - {len(row_kernels(row))}
        if widths:
            return f"kernel_us has {widths.pop()} times of {len(row['kernels'])} kernels"
        lengths["kernel_us"] = len(row["kernel_us"])
    needed = {"kernel_us"} & lengths.keys()  # of the others not every device has all
    wrong = [name for name, length in lengths.items() if length not in ({n} if name in needed else {0, n})]
    if wrong or not n:
        return f"{wrong[0]} has {lengths[wrong[0]]} samples of {n}" if wrong else f"{clock} is empty"
    if not row["reference_quantiles_ms"]:
        return "reference_quantiles_ms is empty"
    return "" if all(row[clock]) else f"{clock} holds a time of 0"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
