"""Whether a device became slower while it measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from lut.devices.conditions import note_conditions, other_load, read_conditions, slowdown
from targets.errors import DamagedFileError


def run(start: dict[str, object], end: dict[str, object]) -> list[dict[str, object]]:
    return [{"when": "start", **start}, {"when": "end", **end}]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (run({}, {}), ""),
        (run({"frequency_mhz": [600.0, 1800.0]}, {"frequency_mhz": [1800.0, 600.0]}), ""),
        (run({"frequency_mhz": [1800.0]}, {"frequency_mhz": [1700.0]}), ""),
        (run({"frequency_mhz": [1800.0]}, {"frequency_mhz": [1500.0]}), "from 1800 to 1500 MHz"),
        (run({"throttled": "0"}, {"throttled": "0"}), ""),
        (run({"throttled": "0"}, {"throttled": "50005"}), "throttled (50005)"),
        # hot from an earlier run: nothing that happened in this one
        (run({"throttled": "50000"}, {"throttled": "50000"}), ""),
        # the end of a run that was cut is missing
        (
            [
                {"when": "start", "frequency_mhz": [1800.0]},
                *run({"frequency_mhz": [600.0]}, {"frequency_mhz": [600.0]}),
            ],
            "",
        ),
    ],
)
def test_slowdown(found: list[dict[str, object]], said: str) -> None:
    assert said in slowdown(found)
    assert bool(slowdown(found)) == bool(said)


def test_lines_of_several_runs(tmp_path: Path) -> None:
    assert read_conditions(tmp_path) == []
    for found in run({"governor": "performance"}, {}):
        note_conditions(tmp_path, found)
    assert read_conditions(tmp_path) == run({"governor": "performance"}, {})


@pytest.mark.parametrize(
    "found", [None, [], 3, {"frequency_mhz": "fast"}, {"frequency_mhz": [None]}, {"throttled": 1}]
)
def test_what_is_no_state_of_a_device_is_refused(found: object, tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="update hwnas there"):
        note_conditions(tmp_path, found)
    assert read_conditions(tmp_path) == []


def test_company() -> None:
    assert other_load([]) == other_load([{"others_cpus": []}, {}]) == ""
    assert other_load([{"others_cpus": [0.0, 0.05, 0.02]}, {"others_cpus": [1.9, 2.0]}]) == ""
    rows = [{"others_cpus": [1.0, 1.1]}, {"others_cpus": [0.0, 0.9, 1.0]}]
    assert "took 1.0 CPUs while it measured; times" in other_load(rows)
    assert "took 1.0 CPUs while it measured (cc1 0.9); times" in other_load(rows, {"cc1": 0.91})
