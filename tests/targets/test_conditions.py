"""Trees of /sys as boards have them; what is absent there is absent here."""

from __future__ import annotations

from pathlib import Path

from targets.conditions import conditions, free_bytes


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_board_that_tells_everything(tmp_path: Path) -> None:
    cpu = "devices/system/cpu/cpu{}/cpufreq/scaling_{}"
    files = {cpu.format(i, "cur_freq"): f"{600 + i}000\n" for i in (0, 2, 10)}
    files |= {cpu.format(i, "governor"): "ondemand\n" for i in (0, 2)} | {
        cpu.format(10, "governor"): "performance\n"
    }
    files |= {"class/thermal/thermal_zone0/temp": "48312\n", "class/thermal/thermal_zone1/temp": "61000\n"}
    files["devices/platform/soc/soc:firmware/get_throttled"] = "50005\n"
    assert conditions(write(tmp_path, files)) == {
        "frequency_mhz": [600.0, 602.0, 610.0],  # in the order of the cores, not of their names
        "governor": "ondemand/performance",
        "temperature_c": 61.0,
        "throttled": "50005",
    }


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert conditions(tmp_path) == {}


def test_space_of_a_folder_that_is_yet_to_be_made(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") > 0
