"""Readers of energy behind one protocol: what a machine can tell of what it draws, and why it cannot.

A counter of energy is read as it is; a sensor of power is integrated from one reading to the next. No reader
estimates: where there is no counter and no sensor, or this user may not read it, `available` says so. Every
reader takes the root of the system's files, so that a copy of a tree can stand in for a machine.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Protocol

from targets.errors import TargetError

ROOT = Path("/")

Wall = Callable[[], int]
"""A clock in nanoseconds."""


class EnergyReader(Protocol):
    """One source of energy readings."""

    def available(self) -> str | None:
        """None where it can be read; else why not, and what to do."""
        ...

    def read_mj(self) -> float:
        """Millijoules drawn since some moment in the past; never falls. TargetError when it went away."""
        ...


class CounterFiles:
    """Files that count microjoules. Each begins anew at its own limit, at most once between two readings."""

    def __init__(self, counters: Mapping[Path, Path | None], missing: str, denied: str) -> None:
        """counters: file -> that of its limit, None: 2**64. missing, denied: reasons for the two failures."""
        self._counters, self._missing, self._denied = dict(counters), missing, denied
        self._last: dict[Path, int] = {}
        self._total_uj = 0

    def available(self) -> str | None:
        """None where every counter can be read."""
        if not self._counters:
            return self._missing
        try:
            for path in self._counters:
                _number(path)
        except PermissionError as error:
            return f"{error.filename} is closed to this user; {self._denied}"
        except (OSError, ValueError) as error:
            return f"it cannot be read ({error})"
        return None

    def read_mj(self) -> float:
        """The sum over the counters since the first reading."""
        try:
            for path, limit in self._counters.items():
                now = _number(path)
                step = now - self._last.get(path, now)
                if step < 0:
                    step += _number(limit) + 1 if limit else 1 << 64
                self._last[path] = now
                self._total_uj += step
        except (OSError, ValueError) as error:
            raise TargetError(
                f"energy: the counter cannot be read any more ({error}); check the device"
            ) from None
        return self._total_uj / 1e3


class PowerSensor:
    """Power in milliwatts, integrated by the trapezoid rule between readings: read it often while work is
    done.
    """

    def __init__(self, read_mw: Callable[[], float], why_not: Callable[[], str | None], wall: Wall) -> None:
        """read_mw: OSError or ValueError where it fails; why_not: a reason known before reading."""
        self._read_mw, self._why_not, self._wall = read_mw, why_not, wall
        self._last: tuple[int, float] | None = None
        self._total_mj = 0.0

    def available(self) -> str | None:
        """None where the sensor can be read."""
        try:
            reason = self._why_not()
            if reason is None:
                self._read_mw()
        except (OSError, ValueError) as error:
            reason = f"it cannot be read ({error})"
        return reason

    def read_mj(self) -> float:
        """The integral since the first reading."""
        try:
            now, mw = self._wall(), self._read_mw()
        except (OSError, ValueError) as error:
            raise TargetError(
                f"energy: the sensor cannot be read any more ({error}); check the device"
            ) from None
        if self._last is not None:
            before, mw_before = self._last
            self._total_mj += (mw + mw_before) / 2 * (now - before) / 1e9
        self._last = (now, mw)
        return self._total_mj


def rapl(root: Path, wall: Wall) -> EnergyReader:
    """Intel and AMD processors: packages and, beside them, memory (Documentation/power/powercap)."""
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    counted = [z for z in zones if _label(z / "name").startswith(("package", "dram"))]
    return CounterFiles(
        {z / "energy_uj": z / "max_energy_range_uj" for z in counted},
        "no /sys/class/powercap/intel-rapl:*: not an x86 machine with RAPL, or a virtual one",
        "let it be read: sudo chmod o+r /sys/class/powercap/intel-rapl:*/energy_uj",
    )


def hwmon(root: Path, wall: Wall) -> EnergyReader:
    """Servers whose driver counts per socket: energy*_input with a label that names a socket."""
    counters = [
        path
        for path in sorted((root / "sys/class/hwmon").glob("hwmon*/energy*_input"))
        if "socket" in _label(path.with_name(path.name.replace("_input", "_label"))).lower()
    ]
    return CounterFiles(
        dict.fromkeys(counters),
        "no energy*_input of a socket in /sys/class/hwmon",
        "let it be read: sudo chmod o+r /sys/class/hwmon/hwmon*/energy*_input",
    )


def jetson(root: Path, wall: Wall) -> EnergyReader:
    """Jetson boards: the INA3221 monitor, volts times amperes of the input rail, or of all rails without
    one.
    """
    pattern = "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label"
    rails = {path: _label(path) for path in sorted(root.glob(pattern))}
    rails = {path: name for path, name in rails.items() if name and "sum" not in name.lower()}
    whole = [path for path, name in rails.items() if name in ("VDD_IN", "POM_5V_IN", "SYS_VIN_HV")]

    def read_mw() -> float:
        total = 0.0
        for path in whole or rails:
            volts = path.with_name(path.name.replace("_label", "_input"))
            amperes = volts.with_name(volts.name.replace("in", "curr", 1))
            total += _number(volts) * _number(amperes) / 1e3  # mV * mA
        return total

    reason = "no INA3221 in /sys/bus/i2c/drivers: not a Jetson board"
    return PowerSensor(read_mw, lambda: None if rails else reason, wall)


def odpm(root: Path, wall: Wall) -> EnergyReader:
    """Android phones with on-device power monitors: the sum of all rails, in microwatt-seconds."""
    files = sorted((root / "sys/bus/iio/devices").glob("iio:device*/energy_value"))
    return RailFiles(files)


class RailFiles:
    """Files with a line per rail, `CH0(T=1234)[VSYS_PWR], 5678`: a time and microjoules since the start."""

    def __init__(self, files: list[Path]) -> None:
        """files: energy_value of each monitor."""
        self._files = files

    def available(self) -> str | None:
        """None where every file can be read."""
        if not self._files:
            return "no energy_value in /sys/bus/iio/devices: the phone has no power monitor"
        try:
            self._sum_uj()
        except PermissionError as error:
            return f"{error.filename} is closed to this user; run adb as root, or use the battery's gauge"
        except (OSError, ValueError) as error:
            return f"it cannot be read ({error})"
        return None

    def read_mj(self) -> float:
        """The sum over all rails since the start of the phone."""
        try:
            return self._sum_uj() / 1e3
        except (OSError, ValueError) as error:
            raise TargetError(
                f"energy: the rails cannot be read any more ({error}); check the phone"
            ) from None

    def _sum_uj(self) -> int:
        lines = [line for path in self._files for line in path.read_text(encoding="utf-8").splitlines()]
        return sum(int(line.rpartition(",")[2]) for line in lines if line.startswith("CH"))


def battery(root: Path, wall: Wall) -> EnergyReader:
    """Phones and laptops on their battery: current times voltage of the gauge."""
    folders = sorted((root / "sys/class/power_supply").glob("*"))
    gauges = [f for f in folders if (f / "current_now").exists() and (f / "voltage_now").exists()]

    def read_mw() -> float:
        # Signs differ between drivers; a battery that is not charged is drained. uA * uV
        return sum(abs(_number(f / "current_now")) * _number(f / "voltage_now") for f in gauges) / 1e9

    def why_not() -> str | None:
        if not gauges:
            return "no battery with current_now and voltage_now in /sys/class/power_supply"
        charged = [f.name for f in gauges if _label(f / "status") in ("Charging", "Full")]
        return f"{charged[0]} is on a charger, which hides what is drawn; unplug it" if charged else None

    return PowerSensor(read_mw, why_not, wall)


class Nvml:
    """NVIDIA cards, through the library that comes with the driver: the energy counter of the first card."""

    def __init__(self, library: str = "libnvidia-ml.so.1") -> None:
        """Nothing is loaded yet."""
        self._name = library
        self._device: tuple[Any, ctypes.c_void_p] | None = None

    def available(self) -> str | None:
        """None where the card counts its energy."""
        try:
            self._read()
        except (OSError, AttributeError):
            return f"no {self._name}: no NVIDIA driver here"
        except ValueError as error:
            return f"the card tells no energy ({error}): it is older than Volta, or shared"
        return None

    def read_mj(self) -> float:
        """Millijoules since the driver was loaded."""
        try:
            return float(self._read())
        except (OSError, AttributeError, ValueError) as error:
            raise TargetError(
                f"energy: the card cannot be read any more ({error}); check the driver"
            ) from None

    def _read(self) -> int:
        if self._device is None:
            library = ctypes.CDLL(self._name)
            handle = ctypes.c_void_p()
            _checked(library.nvmlInit_v2())
            _checked(library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(handle)))
            self._device = (library, handle)
        library, handle = self._device
        energy = ctypes.c_ulonglong()
        _checked(library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy)))
        return energy.value


@dataclass(frozen=True)
class EnergySource:
    """A row of the table of readers.

    name: of the reader.
    part: what the energy is of.
    make: the reader, from the root of the system's files and a clock.
    providers: those that run on that part; (): all.
    """

    name: str
    part: str
    make: Callable[[Path, Wall], EnergyReader]
    providers: tuple[str, ...] = ()


_ON_CPU = ("cpu", "xnnpack", "dnnl", "openvino")

SOURCES: tuple[EnergySource, ...] = (
    EnergySource("rapl", "processor and memory", rapl, _ON_CPU),
    EnergySource("hwmon", "processor sockets", hwmon, _ON_CPU),
    EnergySource("nvml", "graphics card", lambda root, wall: Nvml(), ("cuda", "tensorrt")),
    EnergySource("jetson", "board", jetson),
    EnergySource("odpm", "all rails of the phone", odpm),
    EnergySource("battery", "whole device", battery),
)
"""In order of preference: the nearer to the part that runs the network, the earlier."""


def energy_report(root: Path = ROOT) -> list[dict[str, Any]]:
    """Per reader: name, the part it measures, whether it is available here and if not, why."""
    report = []
    for source in SOURCES:
        reason = source.make(root, time.perf_counter_ns).available()
        report.append(
            {"reader": source.name, "part": source.part, "available": reason is None, "reason": reason}
        )
    return report


def readers(provider: str, root: Path, wall: Wall) -> Iterator[tuple[EnergySource, EnergyReader]]:
    """The readers that cover what runs on the provider, best first."""
    for source in SOURCES:
        if not source.providers or provider in source.providers:
            yield source, source.make(root, wall)


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii").strip())


def _label(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _checked(code: int) -> None:
    if code != 0:
        raise ValueError(f"NVML error {code}")
