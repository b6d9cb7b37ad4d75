"""What changes on a device from minute to minute: frequency, governor, heat; and its free space.

It is recorded beside a measurement and is no part of its context. What the system does not report is absent.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SYS = Path("/sys")
_FREQUENCY = "cpu[0-9]*/cpufreq/scaling_cur_freq"
_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"


def read_text(path: Path) -> str | None:
    """The content of a small file of the kernel, None where it is absent or closed to this user."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def conditions(sys: Path = SYS) -> dict[str, Any]:
    """Governor, frequency of each core in MHz, hottest sensor in degrees, throttling as reported."""
    cpu = sys / "devices/system/cpu"
    state: dict[str, Any] = {}
    texts = [read_text(path) for path in sorted(cpu.glob(_FREQUENCY), key=lambda p: int(p.parts[-3][3:]))]
    frequencies = [int(text) / 1000 for text in texts if text and text.isdigit()]
    if frequencies:
        state["frequency_mhz"] = frequencies
    governors = {read_text(path) for path in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {None}
    if governors:
        state["governor"] = "/".join(sorted(str(g) for g in governors))
    degrees = [read_text(path) for path in sys.glob("class/thermal/thermal_zone*/temp")]
    hot = [int(text) / 1000 for text in degrees if text and text.lstrip("-").isdigit()]
    if hot:
        state["temperature_c"] = max(hot)
    throttled = read_text(sys / _THROTTLED)
    if throttled:
        state["throttled"] = throttled
    return state


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that holds `folder`, or will hold it."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
