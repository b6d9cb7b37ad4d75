"""Damaged tables are refused with the place, whatever byte is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lut
from lut import Measurement, SpaceTable
from lut.devices.device import tables_folder
from lut.tables import blocks_csv
from targets import load_target
from targets.errors import DamagedFileError
from targets.files import write_json
from tests.support.logs import silent

HOST = load_target("host")
HEADER = "key,n,p20_ms,p50_ms,p90_ms,ci_low_ms,ci_high_ms,clock,flag"
GOOD = "a,30,1.0,1.1,1.5,1.05,1.15,cpu,ok"


@pytest.fixture
def folder(tmp_path: Path, device, blocks, networks) -> Path:
    table = lut.space_table(
        HOST, "toy", blocks, networks, minutes=0.5, home=tmp_path, exporter="helper", seed=0, log=silent
    )
    return tables_folder(tmp_path, HOST) / table.context.hash


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy.json", "blocks.csv", "toy.predictor.onnx"])
def test_a_flipped_bit_anywhere_is_found(folder: Path, name: str) -> None:
    path = folder / name
    network = path.read_bytes()
    for place in np.linspace(0, len(network) - 2, 25).astype(int):
        raw = bytearray(network)
        raw[place] ^= 1
        path.write_bytes(bytes(raw))
        with pytest.raises(DamagedFileError):
            SpaceTable.load(folder, "toy")
    path.write_bytes(network)
    SpaceTable.load(folder, "toy")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy.json", "blocks.csv", "blocks.sha256.json", "toy.predictor.onnx"])
@pytest.mark.parametrize("damage", ["missing", "empty", "torn"])
def test_missing_empty_and_torn_files(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    raw = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(raw[: len(raw) // 2 if damage == "torn" else 0])
    with pytest.raises(DamagedFileError, match=name.split(".")[0]):
        SpaceTable.load(folder, "toy")


def cells(**change: object) -> dict[str, object]:
    """The blocks of a table with one block, in which a value is changed."""
    return {"blocks": {"a": {"alone_ms": 1.0, "weight_bytes": 1.0, "factor": 1.0, **change}}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": "1"}, "margin must be float"),
        ({"seed": None}, "seed must be int"),
        ({"line": {"slope": 1.0}}, "line is .* not a calibration"),
        ({"blocks": {"a": 1.0}}, "block 'a' needs alone_ms, weight_bytes"),
        (cells(alone_ms=0.0), "alone_ms of 'a' is 0.0"),
        (
            cells(alone_ms=-1.0),
            "alone_ms of 'a' is -1.0",
        ),
        (
            cells(weight_bytes="8"),
            "weight_bytes of 'a' is '8'",
        ),
        ({"version": 1}, "no table of version 3"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"margin": 0.5}, "does not match its SHA-256"),
    ],
)
def test_wrong_fields_of_the_json_are_named(folder: Path, change: dict[str, object], message: str) -> None:
    path = folder / "toy.json"
    write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(DamagedFileError, match=message):
        SpaceTable.load(folder, "toy")


def test_a_price_that_is_not_a_number_is_refused(folder: Path) -> None:
    path = folder / "toy.json"
    document = json.loads(path.read_text())
    document["blocks"]["conv1e1"]["alone_ms"] = float("nan")
    path.write_text(json.dumps(document))
    with pytest.raises(DamagedFileError, match="alone_ms of 'conv1e1' is nan"):
        SpaceTable.load(folder, "toy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER},extra\n{GOOD},1\n", "unknown column 'extra'"),
        (HEADER.replace("p90_ms,", "") + "\n" + GOOD.replace("1.5,", "") + "\n", "missing column 'p90_ms'"),
        (f"{HEADER}\n{GOOD}\n{GOOD}\n", "row 3, column key occurs twice: 'a'"),
        (f"{HEADER}\n{GOOD.replace('a,', ',', 1)}\n", "row 2, column key is empty"),
        (f"{HEADER}\n{GOOD.replace('1.1', 'fast')}\n", "row 2, column p50_ms: 'fast' is no number"),
        (f"{HEADER}\n{GOOD.replace('1.1', '')}\n", "row 2, column p50_ms: '' is no number"),
        (
            f"{HEADER}\n{GOOD}\nb{GOOD[1:].replace('1.0,', '-1.0,', 1)}\n",
            "row 3, column p20_ms: '-1.0' must be above 0",
        ),
        (
            f"{HEADER}\n{GOOD.replace('1.5', 'nan')}\n",
            "row 2, column p90_ms: 'nan' must be above 0 and finite",
        ),
        (f"{HEADER}\n{GOOD.replace('1.5', 'inf')}\n", "column p90_ms: 'inf'"),
        (f"{HEADER}\n{GOOD.replace('30', '30.5')}\n", "column n: '30.5' is no number"),
        (f"{HEADER}\n{GOOD.replace('30', '0')}\n", "column n: '0' must be above 0"),
        (f"{HEADER}\n{GOOD.replace('cpu', 'gpu')}\n", "column clock: 'gpu' is not cpu or wall"),
        (f"{HEADER}\n{GOOD.replace('ok', 'fine')}\n", "column flag: 'fine' is not ok or unstable"),
        (f"{HEADER}\n{GOOD.replace('1.05', '1.12')}\n", "row 2: quantiles of 'a' are out of order"),
        ("", "is no CSV table"),
        ("\x00\xff", "no CSV table|unknown column"),
        (f"{HEADER}\n{GOOD},1,2\n", "is no CSV table|row 2"),
    ],
)
def test_cells_that_are_wrong_are_named_by_row_and_column(text: str, message: str) -> None:
    with pytest.raises(DamagedFileError, match=message):
        blocks_csv.parse(text.encode("latin-1"), "blocks.csv")


positive = st.floats(1e-6, 1e6, allow_nan=False)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    low, p20, p50, high, p90 = sorted(draw(st.tuples(*[positive] * 5)))
    return Measurement(
        p20, p50, p90, low, high, draw(st.sampled_from(["cpu", "wall"])),
        draw(st.sampled_from(["ok", "unstable"])), draw(st.integers(1, 10**6)),
    )  # fmt: skip


keys = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, measurements(), max_size=6))
def test_rows_survive_the_csv_to_the_bit(rows: dict[str, Measurement]) -> None:
    assert blocks_csv.parse(blocks_csv.csv_text(rows).encode(), "x") == rows


def test_rows_written_twice_are_read_even_when_killed_between_the_two_files(tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    row = Measurement(1.0, 1.1, 1.5, 1.05, 1.15, "cpu", "ok", 30)
    blocks_csv.write_rows(path, {"a": row})
    before = path.read_bytes()
    blocks_csv.write_rows(path, {"a": row, "b": row})
    path.write_bytes(before)  # the sidecar was replaced, the table not yet
    assert blocks_csv.read_rows(path) == {"a": row}
    assert blocks_csv.read_rows(tmp_path / "none.csv") == {}
