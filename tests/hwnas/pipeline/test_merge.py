"""One front over several searches, and the reasons why some cannot be put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli
from hwnas.commands.documents.schemas import adapter
from hwnas.pipeline.merge import merge
from lut import SpaceTable
from targets.errors import UsageError
from tests.support.finished import keys, write_finished, write_table

HALF = (0.90, 0.80, 0.50)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[SpaceTable, SpaceTable]:
    """Of a host and of a board."""
    return write_table(tmp_path, "host", {"nor": 0.1}), write_table(tmp_path, "pi", {"nor": 0.9})


def test_networks_of_one_device_are_compared_by_what_was_measured(
    tmp_path: Path, tables: tuple[SpaceTable, SpaceTable]
) -> None:
    one = write_finished(tmp_path / "one", tables[0], HALF, {0: (0.95, 0.94, 7.0), 1: (0.88, 0.87, 2.0)})
    two = write_finished(tmp_path / "two", tables[0], HALF, {1: (0.90, 0.89, 2.1), 2: (0.80, 0.81, 3.0)})
    document = merge([one, two])
    rows = {row["arch"]: row for row in document["networks"]}
    # The second was trained twice, and the better training counts; the third is slower and worse than it.
    assert [rows[key]["val_accuracy"] for key in keys()[:3]] == [0.95, 0.90, 0.80]
    assert [row["arch"] for row in document["front"]] == [keys()[1], keys()[0]]
    assert {row["latency_ms_is"] for row in rows.values()} == {"measured"}


def test_networks_of_two_devices_have_a_latency_on_each(
    tmp_path: Path, tables: tuple[SpaceTable, SpaceTable], capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_finished(tmp_path / "one", tables[0], HALF, {0: (0.95, 0.94, 7.0)})
    two = write_finished(tmp_path / "two", tables[1], HALF, {2: (0.80, 0.81, 3.0)}, device="pi")
    assert cli.run(["front", "merge", str(one), str(two), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    adapter("front merge").validate_python(document)
    assert document["devices"] == ["host", "pi"]
    rows = {row["arch"]: row for row in document["networks"]}
    first, last = rows[keys()[0]], rows[keys()[2]]
    assert (first["latency_ms"], first["latency_ms_is"]) == (7.0, "measured")
    assert first["latency_ms@pi_is"] == last["latency_ms_is"] == "predicted"
    assert (last["latency_ms@pi"], last["latency_ms@pi_is"]) == (3.0, "measured")
    assert first["latency_ms@pi"] > 15 * 6 * 0.9  # 15 cells of 6 convolutions, 0.9 ms each
    assert cli.run(["front", "merge", str(one), str(two), "--csv", str(tmp_path / "both.csv")]) == 0
    assert "host ms" in capsys.readouterr().out and "latency_ms@pi" in (tmp_path / "both.csv").read_text()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": "other"}, r"the data set differ \(toy, other\)"),
        ({"digest": "e"}, "images or labels differ"),
        ({"val": ["z"]}, "their val images are not the same"),
        ({"test": ["z"]}, "their test images are not the same"),
    ],
)
def test_runs_of_other_images_are_refused(
    tmp_path: Path, tables: tuple[SpaceTable, SpaceTable], change: dict[str, Any], reason: str
) -> None:
    one = write_finished(tmp_path / "one", tables[0], HALF, {0: (0.95, 0.94, 7.0)})
    two = write_finished(tmp_path / "two", tables[0], HALF, {0: (0.95, 0.94, 7.0)}, **change)
    with pytest.raises(UsageError, match=reason):
        merge([one, two])


def test_one_run_is_no_merge(tmp_path: Path, tables: tuple[SpaceTable, SpaceTable]) -> None:
    one = write_finished(tmp_path / "one", tables[0], HALF, {0: (0.95, 0.94, 7.0)})
    with pytest.raises(UsageError, match="at least two"):
        merge([one])
    with pytest.raises(UsageError, match="given twice"):
        merge([one, one])


def test_a_run_for_several_devices_brings_what_it_measured_on_each(
    tmp_path: Path, tables: tuple[SpaceTable, SpaceTable]
) -> None:
    one = write_finished(tmp_path / "one", tables[0], HALF, {0: (0.95, 0.94, 7.0), 1: (0.88, 0.87, 2.0)})
    two = write_finished(tmp_path / "two", tables[1], HALF, {2: (0.80, 0.81, 3.0)}, device="pi")
    table = json.loads((two / "table.json").read_text())
    document = json.loads((one / "table.json").read_text())
    (one / "table.json").write_text(json.dumps({**document, "others": {"pi": table}}))
    front = json.loads((one / "front.json").read_text())
    for point, clock, ms in zip(front["points"], ("wall", "predicted"), (40.0, 50.0), strict=True):
        point["measured"] |= {"latency_p50_ms@pi": ms, "clock@pi": clock}
    (one / "front.json").write_text(json.dumps(front))
    merged = merge([one, two])
    assert merged["devices"] == ["host", "pi"]
    rows = {row["arch"]: row for row in merged["networks"]}
    assert (rows[keys()[0]]["latency_ms@pi"], rows[keys()[0]]["latency_ms@pi_is"]) == (40.0, "measured")
    assert rows[keys()[1]]["latency_ms@pi_is"] == "predicted" != rows[keys()[2]]["latency_ms@pi_is"]
