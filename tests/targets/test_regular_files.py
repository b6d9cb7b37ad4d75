"""Files that a user names may be pipes and devices, which no reader may wait for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from targets.errors import DamagedFileError
from targets.files import read_json, read_regular, user_path
from tests.support.pages import ROOT


def test_all_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_regular(tmp_path / "a", 3) == b"abc"
    with pytest.raises(OSError, match="it has 3 bytes, at most 2 are read"):
        read_regular(tmp_path / "a", 2)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 3)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_pipes_and_devices_are_not_waited_for(make, tmp_path: Path) -> None:
    make(tmp_path / "a.json")
    with pytest.raises(OSError, match="it is no regular file"):
        read_regular(tmp_path / "a.json", 3)
    with pytest.raises(DamagedFileError, match="it is no regular file"):
        read_json(tmp_path / "a.json", "a document")


def test_the_home_of_nobody_is_a_path_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/photos") == Path("/home/me/photos")
    assert not user_path("~no-such-user/photos").exists()


def test_every_door_reads_paths_so() -> None:
    for package in ("hwnas", "lut"):
        for path in (ROOT / package).rglob("*.py"):
            assert ".expanduser(" not in path.read_text(encoding="utf-8"), path
