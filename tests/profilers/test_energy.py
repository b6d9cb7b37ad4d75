from __future__ import annotations

import ctypes
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profilers import Timing, write_job
from profilers.clock import Clocks
from profilers.energy import (
    SOURCES,
    CounterFiles,
    EnergyReader,
    EnergySource,
    Nvml,
    PowerSensor,
    battery,
    energy_report,
    hwmon,
    jetson,
    odpm,
    rapl,
    readers,
)
from profilers.energy_row import energy_row
from targets.errors import TargetError
from tests.support.logs import silent

S = 10**9


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


def rapl_tree(root: Path, package_uj: int = 1000, dram_uj: int = 0) -> Path:
    zones = root / "sys/class/powercap"
    for zone, name, uj in (
        ("intel-rapl:0", "package-0", package_uj),
        ("intel-rapl:0:0", "core", 10**9),
        ("intel-rapl:0:1", "dram", dram_uj),
    ):
        put(zones / zone / "name", name)
        put(zones / zone / "energy_uj", uj)
        put(zones / zone / "max_energy_range_uj", 99_999)
    return zones


def battery_tree(root: Path, status: str = "Discharging", current_ua: int = -500_000) -> Path:
    folder = root / "sys/class/power_supply/battery"
    for name, value in (("status", status), ("current_now", current_ua), ("voltage_now", 4_000_000)):
        put(folder / name, value)
    return folder


def jetson_tree(root: Path, *rails: tuple[str, int, int]) -> Path:
    folder = root / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    for i, (name, mv, ma) in enumerate(rails, 1):
        put(folder / f"in{i}_label", name)
        put(folder / f"in{i}_input", mv)
        put(folder / f"curr{i}_input", ma)
    return folder


def test_rapl_adds_packages_and_memory_and_survives_a_wrap(tmp_path) -> None:
    zones = rapl_tree(tmp_path, 90_000, 500)
    reader = rapl(tmp_path, Watch())
    assert reader.available() is None
    assert reader.read_mj() == 0
    put(zones / "intel-rapl:0/energy_uj", 99_000)
    put(zones / "intel-rapl:0:1/energy_uj", 1_500)
    assert reader.read_mj() == 10.0  # 9 mJ of the package, 1 mJ of memory; cores are part of the package
    put(zones / "intel-rapl:0/energy_uj", 1_000)
    # From 99000 to the limit of 99999, one step to 0, and 1000 more: 2000 microjoules.
    assert reader.read_mj() == 12.0


def test_a_counter_closed_to_the_user_says_how_to_open_it(tmp_path, monkeypatch) -> None:
    rapl_tree(tmp_path)
    real = Path.read_text

    def closed(self: Path, *args: Any, **options: Any) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", closed)
    reason = rapl(tmp_path, Watch()).available()
    assert reason is not None
    assert "intel-rapl:0/energy_uj is closed to this user" in reason
    assert "sudo chmod o+r" in reason


def test_damaged_counters_are_unavailable_and_lost_ones_an_error(tmp_path) -> None:
    zones = rapl_tree(tmp_path)
    reader = rapl(tmp_path, Watch())
    assert reader.read_mj() == 0
    put(zones / "intel-rapl:0/energy_uj", "lost")
    assert "cannot be read" in str(reader.available())
    with pytest.raises(TargetError, match="cannot be read any more"):
        reader.read_mj()


def test_a_counter_without_a_limit_wraps_at_64_bits(tmp_path) -> None:
    put(tmp_path / "e", 2**64 - 1000)
    reader = CounterFiles({tmp_path / "e": None}, "", "")
    reader.read_mj()
    put(tmp_path / "e", 1000)
    assert reader.read_mj() == 2.0


def test_only_sockets_of_hwmon_count(tmp_path) -> None:
    folder = tmp_path / "sys/class/hwmon/hwmon3"
    for i, (label, uj) in enumerate((("Esocket0", 5000), ("Ecore000", 7)), 1):
        put(folder / f"energy{i}_label", label)
        put(folder / f"energy{i}_input", uj)
    reader = hwmon(tmp_path, Watch())
    reader.read_mj()
    put(folder / "energy1_input", 8000)
    put(folder / "energy2_input", 10**6)
    assert reader.read_mj() == 3.0


def test_power_is_integrated_by_trapezoids() -> None:
    watch, power = Watch(), [1000.0]
    reader = PowerSensor(lambda: power[0], lambda: None, watch)
    assert reader.read_mj() == 0
    watch.now_ns, power[0] = 2 * S, 3000.0
    assert reader.read_mj() == 4000.0  # 2 s at 2 W on average
    watch.now_ns = 3 * S
    assert reader.read_mj() == 7000.0


def test_jetson_reads_the_input_rail_or_adds_all(tmp_path) -> None:
    watch = Watch()
    folder = jetson_tree(tmp_path, ("VDD_IN", 5000, 2000), ("VDD_CPU_GPU_CV", 5000, 800), ("sum of x", 1, 1))
    reader = jetson(tmp_path, watch)
    assert reader.available() is None
    reader.read_mj()
    watch.now_ns = S
    assert reader.read_mj() == 10_000.0  # 5 V * 2 A for a second
    put(folder / "in1_label", "VDD_GPU_SOC")
    reader = jetson(tmp_path, watch)
    reader.read_mj()
    watch.now_ns = 2 * S
    assert reader.read_mj() == 14_000.0  # 10 W and 4 W
    (folder / "curr2_input").unlink()
    assert "cannot be read" in str(reader.available())


def test_rails_of_a_phone_are_added(tmp_path) -> None:
    path = tmp_path / "sys/bus/iio/devices/iio:device0/energy_value"
    put(path, "t=12\nCH0(T=12)[S1M_VDD_CPU], 1500\nCH1(T=12)[S2S_VDD_GPU], 500")
    reader = odpm(tmp_path, Watch())
    assert reader.available() is None
    assert reader.read_mj() == 2.0
    put(path, "CH0(T=12)[S1M_VDD_CPU], none")
    assert "cannot be read" in str(reader.available())
    with pytest.raises(TargetError, match="check the phone"):
        reader.read_mj()


def test_a_battery_is_read_unless_it_is_charged(tmp_path) -> None:
    watch, folder = Watch(), battery_tree(tmp_path)
    reader = battery(tmp_path, watch)
    assert reader.available() is None
    reader.read_mj()
    watch.now_ns = S
    assert reader.read_mj() == 2000.0  # 0.5 A at 4 V for a second, whatever the sign
    put(folder / "status", "Charging")
    assert reader.available() == "battery is on a charger, which hides what is drawn; unplug it"


def test_a_machine_without_any_source_says_so_for_each(tmp_path) -> None:
    report = energy_report(tmp_path)
    assert [row["reader"] for row in report] == [source.name for source in SOURCES]
    assert not any(row["available"] for row in report if row["reader"] != "nvml")
    assert all(row["available"] or len(row["reason"]) > 20 for row in report)
    rapl_tree(tmp_path)
    assert energy_report(tmp_path)[0] == {
        "reader": "rapl",
        "part": "processor and memory",
        "available": True,
        "reason": None,
    }
    json.dumps(report, allow_nan=False)


def test_a_driver_that_is_not_there_is_a_reason() -> None:
    reader = Nvml("libhwnas-has-no-such-library.so.7")
    assert reader.available() == "no libhwnas-has-no-such-library.so.7: no NVIDIA driver here"
    with pytest.raises(TargetError, match="check the driver"):
        reader.read_mj()


def test_a_card_that_refuses_is_a_reason(monkeypatch) -> None:
    class Library:
        def __getattr__(self, name: str):
            return lambda *arguments: 3 if name == "nvmlDeviceGetTotalEnergyConsumption" else 0

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    assert "NVML error 3" in str(Nvml().available())


def test_a_card_that_counts_is_read(monkeypatch) -> None:
    class Library:
        def __getattr__(self, name: str):
            def call(*arguments) -> int:
                if name == "nvmlDeviceGetTotalEnergyConsumption":
                    ctypes.cast(arguments[1], ctypes.POINTER(ctypes.c_ulonglong)).contents.value = 7654
                return 0

            return call

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    assert Nvml().available() is None
    assert Nvml().read_mj() == 7654.0


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("cpu", ["rapl", "hwmon", "jetson", "odpm", "battery"]),
        ("cuda", ["nvml", "jetson", "odpm", "battery"]),
    ],
)
def test_readers_cover_what_runs(tmp_path, provider: str, names: list[str]) -> None:
    assert [source.name for source, _ in readers(provider, tmp_path, Watch())] == names


class Metered:
    """A machine whose power is 2 W at rest and 10 W while a network runs, 5 ms per run."""

    def __init__(self, monkeypatch, rest_mw: float = 2000, load_mw: float = 10_000) -> None:
        self.now_ns, self.mj, self.rest_mw, self.load_mw = 0, 100.0, rest_mw, load_mw
        self.clocks = Clocks(wall_ns=lambda: self.now_ns, cpu_ns=lambda: self.now_ns)
        monkeypatch.setattr("profilers.session.Runner", lambda *arguments: self)

    def pass_time(self, seconds: float, mw: float) -> None:
        self.now_ns += int(seconds * S)
        self.mj += mw * seconds

    def run(self, times: int) -> None:
        self.pass_time(0.005 * times, self.load_mw)

    def sleep(self, seconds: float) -> None:
        self.pass_time(seconds, self.rest_mw)

    def available(self) -> str | None:
        return None

    def read_mj(self) -> float:
        return self.mj


def source(reader: EnergyReader) -> list[tuple[EnergySource, EnergyReader]]:
    return [(EnergySource("meter", "board", lambda root, wall: reader), reader)]


def energy_job(folder: Path, host, net):
    return write_job(folder / "job", host, {"net": net(8)}, net(8), Timing(5.0), {"net": ("energy",)})


def test_energy_is_what_a_run_draws_above_rest(tmp_path, host, net, monkeypatch) -> None:
    meter = Metered(monkeypatch)
    row = energy_row(
        energy_job(tmp_path, host, net),
        "net",
        clocks=meter.clocks,
        sleep=meter.sleep,
        candidates=source(meter),
    )
    assert row["energy_mj"] == pytest.approx(40.0)  # 8 W for 5 ms
    assert (row["rest_mw"], row["load_mw"]) == (pytest.approx(2000), pytest.approx(10_000))
    assert (row["kind"], row["reader"], row["flag"], row["n"], row["runs"]) == (
        "energy",
        "meter",
        "ok",
        3,
        1200,
    )


def test_loops_that_differ_are_flagged_with_how_far(tmp_path, host, net, monkeypatch) -> None:
    class Warming(Metered):
        def read_mj(self) -> float:
            self.load_mw += 1.0  # with every reading
            return self.mj

    meter = Warming(monkeypatch)
    row = energy_row(
        energy_job(tmp_path, host, net),
        "net",
        clocks=meter.clocks,
        sleep=meter.sleep,
        candidates=source(meter),
    )
    # 40 readings in each loop at rest and in each at work: from 8 to 8.3 W above rest, no quarter
    assert (row["flag"], row["reason"]) == ("ok", "")
    meter.load_mw, meter.rest_mw = 2_010, 2_000  # 10 mW above rest and 80 more with each loop
    row = energy_row(
        energy_job(tmp_path, host, net),
        "net",
        clocks=meter.clocks,
        sleep=meter.sleep,
        candidates=source(meter),
    )
    assert row["flag"] == "unstable"
    assert row["reason"] == f"loops differ by {row['energy_spread']:.0%}"


def test_a_run_that_draws_nothing_has_no_energy(tmp_path, host, net, monkeypatch) -> None:
    meter = Metered(monkeypatch, load_mw=2000)
    meter.load_mw -= 1e-3
    with pytest.raises(TargetError, match="energy of net: meter shows no more while it runs than at rest"):
        energy_row(
            energy_job(tmp_path, host, net),
            "net",
            clocks=meter.clocks,
            sleep=meter.sleep,
            candidates=source(meter),
        )


def test_where_there_is_no_reader_the_row_says_why(tmp_path, host, net) -> None:
    job = energy_job(tmp_path, host, net)
    row = energy_row(job, "net", root=tmp_path)
    assert set(row) == {"kind", "key", "pass", "unavailable"}
    assert "rapl: no /sys/class/powercap" in row["unavailable"]
    assert "battery: no battery" in row["unavailable"]
    card = replace(job, target=replace(host, provider="cuda"))
    assert energy_row(card, "net", candidates=[])["unavailable"] == "no reader covers cuda"


def test_the_profiler_writes_energy_rows(tmp_path, host, net, monkeypatch) -> None:
    from profilers import read_rows
    from profilers.run import run_job

    monkeypatch.setattr("profilers.energy_row.readers", lambda *arguments: [])
    job = energy_job(tmp_path, host, net)
    assert run_job(job.folder, Clocks(), silent) == 0
    (row,) = read_rows(job.rows_path)
    assert row["kind"] == "energy" and "unavailable" in row
