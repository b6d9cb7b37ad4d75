"""Files in one piece: what comes out is what went in, or it is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.executors.packing import folder_files, pack, unpack, write_files
from targets.errors import DamagedFileError

FACTS = {"outcome": "done", "n": 3}


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text("abcdefghij0123456789", min_size=1, max_size=12), st.binary(max_size=99)))
def test_there_and_back(files: dict[str, bytes]) -> None:
    files.pop("facts.json", None)
    assert unpack(pack(FACTS, files)) == (FACTS, files)


def test_a_folder_comes_in_the_order_of_writing(tmp_path: Path) -> None:
    write_files(tmp_path / "a", {"z.bin": b"first", "b.json": b"last"})
    (tmp_path / "a" / "inner").mkdir()
    assert list(folder_files(tmp_path / "a").items()) == [("z.bin", b"first"), ("b.json", b"last")]


def test_damage_is_seen_wherever_it_is() -> None:
    raw = pack(FACTS, {"weights.bin": b"0123456789" * 3})
    for cut in range(0, len(raw), 7):
        with pytest.raises(DamagedFileError):
            unpack(raw[:cut])
    at = raw.index(b"0123456789")
    with pytest.raises(DamagedFileError, match=r"damaged|checksum"):
        unpack(raw[:at] + b"X" + raw[at + 1 :])


def test_a_name_that_leads_elsewhere_is_refused() -> None:
    raw = pack(FACTS, {"../../evil": b"x"})
    assert zipfile.ZipFile(io.BytesIO(raw)).namelist()
    with pytest.raises(DamagedFileError, match="evil"):
        unpack(raw)
