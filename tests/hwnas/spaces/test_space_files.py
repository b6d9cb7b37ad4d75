"""TOML files that define no space."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.spaces import load_space
from targets.errors import UsageError


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = " + "[" * 5000, "nested too deeply"),
        ('space = ["mobile"]', "must be a name in quotes"),
        ("x", "Expected"),
        ("widths = 0x" + "f" * 5000, "a number has too many digits"),
        ('operations = [3, "mb3e3"]', "operations must be a list of different names"),
    ],
)
def test_files_that_define_no_space(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UsageError, match=says):
        load_space(str(tmp_path / "s.toml"), image_size=32, in_channels=3, n_classes=10)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        load_space(str(tmp_path / "folder.toml"), image_size=32, in_channels=3, n_classes=10)
