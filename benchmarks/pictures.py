"""Pictures of the report for docs/pictures, from the files of a finished run, by headless Chromium.

    python -m benchmarks.pictures runs/photos-host-1

The page is written anew by the code that is there. `pictures.json` keeps of which run and when, the SHA-256
of each picture, and the headings and columns that it shows: the tests compare these with the page of today.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hwnas.report import write_report
from hwnas.runs.environment import versions
from targets.errors import UsageError
from targets.files import read_json, sha256

PICTURES = Path(__file__).parents[1] / "docs/pictures"
RECORD = PICTURES / "pictures.json"
SHOWN = {"headline": "", "front": "front"}
"""Picture -> the section that it shows; the headline stands above all sections."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_WIDTH_PX, _HEIGHT_PX = 1400, 3000
_MOST_PX = 1300  # of the height that is kept
_COLOURS = 128


class Outline(HTMLParser):
    """Per section of a page its headings and the columns of its tables; '' for what stands above them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: dict[str, list[str]] = {"": []}
        self._section, self._text = "", ""
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._section = dict(attrs).get("id") or ""
            self.sections[self._section] = []
        elif tag in ("h2", "h3", "th"):
            self._inside, self._text = True, ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h2", "h3", "th") and self._inside:
            self._inside = False
            self.sections[self._section].append(" ".join(self._text.split()))


def alone(page: str, section: str) -> str:
    """The page with nothing but one section, or nothing but what stands above them."""
    hidden = "main, footer" if not section else f"nav, header, footer, main section:not(#{section})"
    style = f"<style>html {{scroll-behavior: auto}} {hidden} {{display: none !important}}</style>"
    return page.replace("</head>", f"{style}</head>", 1)


def shoot(browser: str, page: Path, picture: Path) -> None:
    """One picture, without the empty space below."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        size = f"--window-size={_WIDTH_PX},{_HEIGHT_PX}"
        command = [browser, *options, "--virtual-time-budget=8000", size, f"--screenshot={raw}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=180)
        with Image.open(raw) as image:
            pixels = np.asarray(image.convert("RGB"))
    rows = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    bottom = min(len(pixels), int(rows.max()) + 30, _MOST_PX)
    cut = Image.fromarray(pixels[:bottom])
    cut.quantize(_COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


def take(run: Path) -> None:
    """Take all pictures of a run, and write what they are of."""
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise UsageError(f"no browser to take pictures with; install one of {', '.join(_BROWSERS)}")
    text = write_report(run).read_text(encoding="utf-8")
    outline = Outline(text).sections
    PICTURES.mkdir(exist_ok=True)
    shown: dict[str, Any] = {}
    for name, section in SHOWN.items():
        picture = PICTURES / f"report-{name}.png"
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            page.write_text(alone(text, section), encoding="utf-8")
            shoot(browser, page, picture)
        shown[picture.name] = {"section": section, "shows": outline[section], "sha256": sha256(picture)}
    config = read_json(run / "config.resolved.json", "run")
    options = {key: config[key] for key in ("data", "image_size", "space", "evaluations", "train_epochs")}
    record = {
        "run": run.resolve().name,
        "options": options,
        "taken": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": versions(),
        "pictures": shown,
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of hwnas search")
    try:
        take(parser.parse_args().run)
    except UsageError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
