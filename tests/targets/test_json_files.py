"""JSON files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.errors import DamagedFileError
from targets.files import read_json


@pytest.mark.parametrize("text", ["", "{", "[" * 20000, '{"a": ' * 20000, "\x00", "9" * 5000])
def test_damage_is_one_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(DamagedFileError, match=r"the file: .*is damaged"):
        read_json(tmp_path / "a.json", "the file")
