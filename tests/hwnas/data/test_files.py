"""Folders and archives: nothing is written, nothing outside is read, damage is named."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hwnas.data.dataset import load_data
from hwnas.data.files import FolderFiles, ZipFiles, open_files
from hwnas.data.folder import open_folder
from targets.errors import DamagedFileError, UsageError


def write_zip(path: Path, members: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one", "cat/": b""})
    before = sorted(tmp_path.rglob("*"))
    files = ZipFiles(path)
    assert files.paths == ("cat/1.jpg",)
    assert files.read("cat/1.jpg") == b"one"
    assert files.size_bytes("cat/1.jpg") == 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["./cat/1.jpg", "/cat/1.jpg", "cat//1.jpg", ".\\cat\\1.jpg"])
def test_names_are_below_the_archive_as_unpacking_puts_them(tmp_path: Path, name: str) -> None:
    files = ZipFiles(write_zip(tmp_path / "a.zip", {name: b"one"}))
    assert files.paths == ("cat/1.jpg",)
    assert files.read("cat/1.jpg") == b"one"


@pytest.mark.parametrize("name", ["../evil.jpg", "cat/../../evil.jpg", "..\\evil.jpg", "C:/evil.jpg"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    files = ZipFiles(write_zip(tmp_path / "a.zip", {name: b"x", "cat/1.jpg": b"one"}))
    assert files.paths == ("cat/1.jpg",)
    assert len(files.refused) == 1


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert ZipFiles(tmp_path / "a.zip").refused == ("cat/link.jpg",)


def test_refused_names_are_in_the_notes(write_images, named, pack) -> None:
    path = pack(write_images(named(["cat", "dog"], 3)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.png", b"x")
    assert "ignored (unsafe name in the archive): 1: ../evil.png" in open_folder(path).listing.notes


def test_what_file_managers_leave_behind_is_not_data(tmp_path: Path) -> None:
    names = ["cat/1.jpg", "__MACOSX/cat/._1.jpg", "cat/.DS_Store", ".git/x.jpg"]
    assert ZipFiles(write_zip(tmp_path / "a.zip", dict.fromkeys(names, b"x"))).paths == ("cat/1.jpg",)
    for name in names:
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_bytes(b"x")
    assert FolderFiles(tmp_path / "b").paths == ("cat/1.jpg",)


@pytest.mark.parametrize(
    ("cap", "fault"), [("MAX_FILE_BYTES", DamagedFileError), ("MAX_TOTAL_BYTES", UsageError)]
)
def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: str, fault: type[Exception]
) -> None:
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": bytes(2_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(f"hwnas.data.files.{cap}", 1_000_000)
    with pytest.raises(fault, match="at most"):
        ZipFiles(path).read("cat/1.jpg")


def test_a_member_that_lies_about_its_size_is_damaged(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x" * 1000}, compression=zipfile.ZIP_DEFLATED)
    raw = path.read_bytes()
    size = (1000).to_bytes(4, "little")
    assert raw.count(size) == 2
    path.write_bytes(raw.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(DamagedFileError, match=r"cat/1\.jpg cannot be read"):
        ZipFiles(path).read("cat/1.jpg")


def test_every_truncation_of_a_zip_is_damage(tmp_path: Path) -> None:
    raw = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"}).read_bytes()
    for length in range(len(raw)):
        (tmp_path / "b.zip").write_bytes(raw[:length])
        with pytest.raises(DamagedFileError, match=r"b\.zip"):
            ZipFiles(tmp_path / "b.zip")


def test_a_flipped_bit_in_a_zip_is_damage(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one two three"})
    path.write_bytes(path.read_bytes().replace(b"two", b"twp"))
    with pytest.raises(DamagedFileError, match=r"cat/1\.jpg"):
        ZipFiles(path).read("cat/1.jpg")


def test_a_name_that_occurs_twice_is_damage(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/1.jpg", b"two")
    with pytest.raises(DamagedFileError, match="twice"):
        ZipFiles(tmp_path / "a.zip")


def test_an_encrypted_zip_asks_for_a_plain_one(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(bytes(raw))
    with pytest.raises(UsageError, match="encrypted"):
        ZipFiles(path)


def test_a_fork_reads_through_its_own_handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"one"}), []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments: Any) -> None:
            opened.append(os.getpid())
            super().__init__(*arguments)

    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    files, parent = ZipFiles(path), os.getpid()
    assert files.read("cat/1.jpg") == b"one"
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert files.read("cat/1.jpg") == b"one"
    assert opened == [parent, parent + 1]


def test_linked_folders_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.jpg").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert FolderFiles(tmp_path / "data").paths == ("cat/1.jpg",)


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(DamagedFileError, match=r"1\.jpg.*No such file"):
        FolderFiles(tmp_path).read("1.jpg")


def test_pipes_and_devices_are_left_alone(tmp_path: Path) -> None:
    """To read a pipe that nobody writes to waits for ever."""
    os.mkfifo(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").symlink_to("/dev/zero")
    (tmp_path / "3.jpg").write_bytes(b"x")
    files = FolderFiles(tmp_path)
    assert (files.paths, files.refused) == (("3.jpg",), ("1.jpg", "2.jpg"))
    os.mkfifo(tmp_path / "a.zip")
    os.mkfifo(tmp_path / "a.npz")
    os.mkfifo(tmp_path / "a.csv")
    for name in ("a.zip", "a.npz", "a.csv"):
        with pytest.raises(UsageError, match="is a pipe or a device"):
            load_data(str(tmp_path / name), None, 0, root=tmp_path)
    for path in (tmp_path / "a.zip", Path("/dev/zero")):
        with pytest.raises(UsageError, match="is a pipe or a device"):
            open_files(path)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    files = FolderFiles(tmp_path)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(DamagedFileError, match=r"1\.jpg"):
        files.read("1.jpg")


def test_other_archives_and_missing_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"neither a folder nor a \.zip"):
        open_files(tmp_path / "a.tar.gz")
    with pytest.raises(UsageError, match="does not exist"):
        open_files(tmp_path / "nowhere")
