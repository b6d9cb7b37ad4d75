"""JSON documents that hold their own checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError


@pytest.mark.parametrize(("compact", "text"), [(False, '{"a": 1, "b": [2, 3]}'), (True, '{"a":1,"b":[2,3]}')])
def test_the_checksum_is_that_of_the_sorted_json(tmp_path: Path, compact: bool, text: str) -> None:
    path = tmp_path / "x.json"
    write_checksummed(path, {"b": [2, 3], "a": 1}, compact=compact)
    assert json.loads(path.read_text())["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert read_checksummed(path, "it", compact=compact) == {"a": 1, "b": [2, 3]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "no checksum"),
        ('{"a": 1}', "no checksum"),
        ('{"a": 1, "sha256": "0"}', "does not match"),
        ('{"a": NaN, "sha256": "0"}', "does not match"),
        ('{"a": 1', "is damaged"),
    ],
)
def test_damage_is_refused_with_the_advice(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DamagedFileError, match=says):
        read_checksummed(path, "it", advice="throw it away")
