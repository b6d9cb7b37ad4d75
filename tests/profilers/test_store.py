"""What a device keeps of the jobs it was sent."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from profilers import read_job
from profilers.store import Store, wanted
from targets.errors import DamagedFileError, TargetError
from targets.files import sha256

FILES = [b"first", b"", b"third\n"]


def sent(*files: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(b"%s %d\n%s" % (sha256(f).encode(), len(f), f) for f in files))


def manifest(*files: bytes) -> dict[str, object]:
    return {"models": [{"file": f"{i}.onnx", "sha256": sha256(f)} for i, f in enumerate(files)]}


def test_files_arrive_and_become_a_job(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.missing(manifest(*FILES)) == sorted(sha256(f) for f in FILES)
    assert store.receive(sent(*FILES)) == 3
    assert store.missing(manifest(*FILES)) == []
    folder = store.place("job", json.dumps(manifest(*FILES)).encode())
    assert [(folder / f"{i}.onnx").read_bytes() for i in range(3)] == FILES
    (folder / "rows.jsonl").write_text("{}\n")
    assert store.place("job", json.dumps(manifest(*FILES)).encode()) == folder
    assert (folder / "rows.jsonl").exists()  # what was measured stays


@pytest.mark.parametrize("cut", [1, 40, 66, 69, 75, 140])
def test_a_stream_that_is_cut_leaves_whole_files_only(tmp_path: Path, cut: int) -> None:
    store = Store(tmp_path)
    n = store.receive(io.BytesIO(sent(*FILES).getvalue()[:cut]))
    arrived = [path.name for path in (tmp_path / "files").iterdir()]
    assert sorted(arrived) == sorted(sha256(f) for f in FILES[:n])
    assert n == (cut >= 66 + 1 + 5) + (cut >= 140)  # 64 digits, blank, digit, line end, "first"


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    raw = bytearray(sent(b"first").getvalue())
    raw[-1] ^= 1
    with pytest.raises(DamagedFileError, match="arrived damaged"):
        Store(tmp_path).receive(io.BytesIO(bytes(raw)))
    with pytest.raises(DamagedFileError, match="no file of a job"):
        Store(tmp_path).receive(io.BytesIO(b"Welcome to the board\n"))


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/b", "", "..", "manifest.json"])
def test_names_that_leave_the_folder(file: str) -> None:
    with pytest.raises(DamagedFileError, match="cannot be a file of a job"):
        wanted({"models": [{"file": file, "sha256": sha256(b"")}]})


def test_a_full_disk_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.store.free_bytes", lambda folder: 70_000)
    store = Store(tmp_path)
    with pytest.raises(TargetError, match=r"no space on the device for .*: 100000 bytes are needed"):
        store.receive(sent(b"small", b"x" * 100_000))
    assert store.missing(manifest(b"small")) == []


def test_unused_files_go_first_when_room_is_needed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.receive(sent(b"old", b"new", b"used"))
    store.place("job", json.dumps(manifest(b"used")).encode())
    for age, data in ((3000, b"old"), (1000, b"used"), (2000, b"new")):
        path = tmp_path / "files" / sha256(data)
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    store.prune(3)
    assert sorted(store.missing(manifest(b"old", b"new", b"used"))) == [sha256(b"old")]
    store.prune(0)  # `missing` touched `new`: somebody asks for it now
    assert store.missing(manifest(b"new", b"used")) == []
    store.drop("job")
    assert list((tmp_path / "jobs").iterdir()) == []


def test_what_a_manifest_of_a_job_names(make_job) -> None:
    job = make_job(2)
    document = json.loads((job.folder / "manifest.json").read_text())
    assert set(wanted(document)) == {*job.models.values(), job.reference}
    assert read_job(job.folder) == job


def test_jobs_that_nobody_went_on_with_are_forgotten_after_a_week(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, days in (("old", 8), ("recent", 6)):
        folder = store.place(name, json.dumps(manifest()).encode())
        os.utime(folder, (folder.stat().st_mtime - 86400 * days,) * 2)
    store.prune(0)
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["recent"]
