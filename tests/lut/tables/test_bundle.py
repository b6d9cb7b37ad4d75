"""Tables that travel: what arrives is what was sent, or nothing."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lut
from lut import Measurement, SpaceTable
from lut.devices.archive import stored_zip
from lut.devices.device import tables_folder
from lut.tables import blocks_csv
from lut.tables.bundle import MANIFEST, Stored, export_bundle, import_bundle
from lut.tables.calibrate import BlockCosts, Calibration
from targets import Context, load_target
from targets.errors import DamagedFileError, UsageError
from targets.files import write_json
from tests.support.logs import silent

HOST = load_target("host")


CONTEXT = Context({"ort_version": "1.0", "exporter": "helper"})


def made(home: Path, space_id: str = "toy", p20_ms: float = 0.5) -> Stored:
    """A small table, its further file, and the reference's level."""
    rows = {key: Measurement(p20_ms, 0.6, 0.9, 0.58, 0.62, "cpu", "ok", 30) for key in "ab"}
    factors = {"a": 1.0, "b": 1.1, "c": 0.9}
    blocks = BlockCosts({"a": p20_ms, "b": 0.7, "c": 1.0}, {"a": 100.0, "b": 200.0, "c": 50.0}, factors)
    line, errors = Calibration(0.1, 1.2, 0.0, 0.0), {"mape_pct": 2.5}
    table = SpaceTable(space_id, "host", CONTEXT, blocks, line, errors, 0.04, rows, "2026-01-02", 0)
    folder = home / "tables/host" / CONTEXT.hash
    table.save(folder, {f"{space_id}.predictor.onnx": b"trees"})
    level = Context({"ort_version": "1.0", "exporter": ""})
    write_json(folder.parent / f"reference/{level.hash}.json", {"p50_ms": 0.05, "facts": dict(level.facts)})
    return Stored(table, folder)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return made(tmp_path / "from")


def write(folder: Path, data: bytes) -> Path:
    path = folder / "toy.hwnas"
    path.write_bytes(data)
    return path


def entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_round_trip(stored: Stored, tmp_path: Path) -> None:
    data = export_bundle(stored)
    assert data == export_bundle(stored)
    found = import_bundle(write(tmp_path, data), tmp_path / "to")
    assert found.name == stored.name == f"host/{CONTEXT.hash}/toy"
    assert SpaceTable.load(found.folder, "toy") == stored.content
    (before,), (after,) = ((tmp_path / f"{home}/tables/host/reference").iterdir() for home in ("from", "to"))
    assert (before.name, before.read_text()) == (after.name, after.read_text())
    assert export_bundle(found) == data
    import_bundle(tmp_path / "toy.hwnas", tmp_path / "to")  # once more changes nothing


def test_only_rows_of_its_own_travel(stored: Stored, tmp_path: Path) -> None:
    made(tmp_path / "from", "other")
    rows = blocks_csv.read_rows(stored.folder / "blocks.csv")
    blocks_csv.write_rows(stored.folder / "blocks.csv", {**rows, "foreign": rows["a"]})
    assert set(entries(export_bundle(stored))) == {
        *("blocks.csv", "blocks.sha256.json", "bundle.json", "reference.json", "toy.json"),
        "toy.predictor.onnx",
    }
    assert b"foreign" not in export_bundle(stored)


def test_a_search_finds_what_was_imported(tmp_path: Path, device: Any, blocks: Any, networks: Any) -> None:
    def table(home: Path) -> SpaceTable:
        more: dict[str, Any] = {"minutes": 0.5, "exporter": "helper", "seed": 0, "log": silent}
        return lut.space_table(HOST, "toy", blocks, networks, home=home, **more)

    first = table(tmp_path / "from")
    found = Stored(first, tables_folder(tmp_path / "from", HOST) / first.context.hash)
    import_bundle(write(tmp_path, export_bundle(found)), tmp_path / "to")
    asked = len(device.asked)
    assert table(tmp_path / "to") == first
    assert len(device.asked) == asked


def test_another_table_keeps_its_place(stored: Stored, tmp_path: Path) -> None:
    path, home = write(tmp_path, export_bundle(stored)), tmp_path / "to"
    own = made(home, p20_ms=0.55)
    with pytest.raises(UsageError, match="--replace"):
        import_bundle(path, home)
    assert SpaceTable.load(own.folder, "toy") == own.content
    import_bundle(path, home, replace=True)
    assert SpaceTable.load(own.folder, "toy") == stored.content


def test_rows_of_other_tables_are_not_changed(stored: Stored, tmp_path: Path) -> None:
    other = made(tmp_path / "to", "other", p20_ms=0.55)
    with pytest.raises(UsageError, match=r"other\.json was made with another measurement"):
        import_bundle(write(tmp_path, export_bundle(stored)), tmp_path / "to", replace=True)
    assert SpaceTable.load(other.folder, "other") == other.content


def refused(path: Path, home: Path, says: str | None = None) -> None:
    with pytest.raises(DamagedFileError, match=says) as caught:
        import_bundle(path, home)
    assert path.name in str(caught.value)
    assert not home.exists(), "nothing may be written"


def test_a_changed_byte_anywhere_and_every_torn_file(stored: Stored, tmp_path: Path) -> None:
    network, home = export_bundle(stored), tmp_path / "to"
    for place in np.linspace(0, len(network) - 1, 60).astype(int):
        raw = bytearray(network)
        raw[place] ^= 1
        refused(write(tmp_path, bytes(raw)), home)
        refused(write(tmp_path, network[:place]), home)
    refused(write(tmp_path, network + b"x"), home)
    refused(write(tmp_path, b"x" + network), home)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "", "C:x", "x" * 200, "UPPER"])
def test_names_that_lead_elsewhere(name: str, stored: Stored, tmp_path: Path) -> None:
    files = {**entries(export_bundle(stored)), name: b"evil"}
    refused(write(tmp_path, stored_zip(files)), tmp_path / "to", "cannot be a file")
    assert not (tmp_path.parent / "x").exists()


def test_further_files_that_lead_elsewhere(stored: Stored, tmp_path: Path) -> None:
    files = entries(export_bundle(stored))
    table = json.loads(files["toy.json"])
    table["files"] = {"../../../evil.onnx": "0" * 64}
    refused(
        write(tmp_path, stored_zip({**files, "toy.json": json.dumps(table).encode()})),
        tmp_path / "to",
        "evil",
    )


def odd(files: dict[str, bytes], how: str) -> bytes:
    """A zip file that no export writes."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if how == "bomb" else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            if how == "link" and name == "toy.json":
                info.external_attr, data = 0o120777 << 16, b"/etc/passwd"
            archive.writestr(info, data, method)
        if how == "bomb":
            archive.writestr("bomb", b"\0" * (64 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["bomb", "link"])
def test_zip_files_that_are_no_archive_of_ours(how: str, stored: Stored, tmp_path: Path) -> None:
    refused(write(tmp_path, odd(entries(export_bundle(stored)), how)), tmp_path / "to")


def test_two_entries_of_one_name(stored: Stored, tmp_path: Path) -> None:
    buffer = io.BytesIO(export_bundle(stored))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("toy.json", b"{}")
    refused(write(tmp_path, buffer.getvalue()), tmp_path / "to")


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000, b"\x80\x04K*."], ids=repr)
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    refused(write(tmp_path, content), tmp_path / "to", "not an archive")
    refused(tmp_path / "none.hwnas", tmp_path / "to", "No such file")
    (tmp_path / "folder.hwnas").mkdir()
    refused(tmp_path / "folder.hwnas", tmp_path / "to", "no file")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"p20_ms", b"p30_ms", "unknown column 'p30_ms'"),
        (b",clock", b"", "missing column 'clock'"),
        (b",cpu,ok\n", b",cpu,ok\n{first}", "occurs twice"),
        (b",cpu,ok\n", b",sundial,ok\n", "'sundial' is not cpu or wall"),
        (b",30,", b",thirty,", "'thirty' is no number"),
        (b",30,", b",-30,", "must be above 0"),
        (b",30,", b",nan,", "no number"),
    ],
)
def test_rows_that_cannot_be(old: bytes, new: bytes, says: str, stored: Stored, tmp_path: Path) -> None:
    files = entries(export_bundle(stored))
    lines = files["blocks.csv"].splitlines(keepends=True)
    raw = files["blocks.csv"].replace(old, new.replace(b"{first}", lines[1]), 1)
    assert raw != files["blocks.csv"]
    refused(write(tmp_path, stored_zip({**files, "blocks.csv": raw})), tmp_path / "to", says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "hwnas-table-2"}, "reads no other"),
        ({"kind": "pickle"}, "kind, target and name"),
        ({"target": 7}, "kind, target and name"),
        ({"target": "another"}, "another table"),
        ({"name": "../../x"}, "does not exist"),
        ({"context": {"hash": "0", "facts": {}}}, "another table"),
        ({"context": 3}, "bundle|subscript"),
    ],
)
def test_manifests_that_tell_something_else(
    change: dict[str, Any], says: str, stored: Stored, tmp_path: Path
) -> None:
    files = entries(export_bundle(stored))
    manifest = {**json.loads(files[MANIFEST]), **change}
    raw = stored_zip({**files, MANIFEST: json.dumps(manifest).encode()})
    refused(write(tmp_path, raw), tmp_path / "to", says)
