"""What a user may name where a TOML file is wanted: one clear error at every door, at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hwnas.gradient.method_file import load_method
from hwnas.runs.config import load_config
from hwnas.spaces import load_space
from targets import load_target
from targets.errors import UsageError
from targets.toml_file import MAX_BYTES, read_toml


def space(path: Path) -> object:
    return load_space(str(path), image_size=32, in_channels=3, n_classes=2)


def config(path: Path) -> object:
    return load_config(path, {})


DOORS = {"target": load_target, "method": load_method, "space": space, "config": config}
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: None, "does not exist"),
    "folder": (lambda p: p.mkdir(), "cannot be read: Is a directory"),
    "pipe": (os.mkfifo, "is a pipe or a device"),
    "device": (lambda p: p.symlink_to("/dev/zero"), "is a pipe or a device"),
    "binary": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "no TOML: byte 0 is no UTF-8"),
    "text": (lambda p: p.write_text("no toml"), "is no TOML"),
    "huge": (lambda p: p.write_bytes(b"a=1\n" * (MAX_BYTES // 4 + 1)), "at most 1000000 are read"),
    "deep": (lambda p: p.write_text("a = " + "[" * 5000 + "]" * 5000), "nested too deeply"),
    "digits": (lambda p: p.write_text("a = " + "9" * 5000), "a number has too many digits"),
    "surrogate": (lambda p: p.write_text(r'a = "\ud800"'), "is no TOML"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("file", FILES)
def test_files_that_are_none(file: str, door: str, tmp_path: Path) -> None:
    make, said = FILES[file]
    path = tmp_path / "file.toml"
    make(path)
    with pytest.raises(UsageError, match=said) as caught:
        DOORS[door](path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["a\0b.toml", "x" * 300 + ".toml"])
def test_names_that_are_none(name: str, door: str) -> None:
    with pytest.raises(UsageError) as caught:
        DOORS[door](Path(name))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "text",
    [
        *('name = ["a"]', "name = {a = 1}", 'name = "a\\u0000b"', "name = 2020-01-01"),
        *('space = ["a"]', "space = {a = 1}", "space = nan", "base = 5", "base = {}", "stages = 3"),
        *(f"threads = 0x{'F' * 4000}", f"base = [0x{'F' * 4000}]", 'operations = [1, "none"]'),
        *("threads = 0xFFFFFFFFFFFFFFFFFFFF", "picks = 0xFFFFFFFFFFFFFFFFFFFF", "[[name]]\na = 1", "[reach]"),
        *(
            "budgets = [[1]]",
            "budgets = {a = 1}",
            'data = ["a"]',
            "home = true",
            "stages = [[1]]",
            "minutes = inf",
        ),
    ],
)
def test_values_of_other_kinds(text: str, door: str, tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_text(text)
    with pytest.raises(UsageError):
        DOORS[door](path)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert read_toml(tmp_path / "a.toml", "file") == {"a": 1}
