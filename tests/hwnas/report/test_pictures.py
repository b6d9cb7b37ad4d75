"""The pictures of the documents show the page that the code writes today."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pictures import PICTURES, RECORD, Outline
from hwnas.report import write_report
from targets.files import read_json, sha256

SHOWN = read_json(RECORD, "record of the pictures")["pictures"]


def test_outline_of_a_page() -> None:
    page = "<h1>a</h1><section id='s'><h2>b <b>c</b></h2><table><tr><th>d</th></tr></table></section>"
    assert Outline(page).sections == {"": [], "s": ["b c", "d"]}


def test_pictures_are_those_that_were_taken() -> None:
    assert sorted(SHOWN) == sorted(path.name for path in PICTURES.glob("*.png"))
    for name, picture in SHOWN.items():
        assert sha256(PICTURES / name) == picture["sha256"], name
        assert (PICTURES / name).stat().st_size < 200_000, name


def test_pictures_have_the_headings_of_the_page_of_today(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this fails the page has changed: `python -m benchmarks.pictures RUN` takes them again."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly */")
    today = Outline(write_report(finished_run).read_text(encoding="utf-8")).sections
    assert {name: p["shows"] for name, p in SHOWN.items()} == {
        name: today[p["section"]] for name, p in SHOWN.items()
    }
