"""Notebooks: their cells run in order, in one process, without a kernel; the file holds what they print.

`python -m tests.support.notebooks FILE...` runs them and stores what they print. A cell tagged `varies`
prints what differs from machine to machine: the tests run it and do not compare.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A code cell: its place for messages, its source, what it prints according to the file."""

    place: str
    source: str
    printed: str
    varies: bool


def cells_of(notebook: Path) -> Iterator[Cell]:
    """The code cells in order."""
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"], start=1):
        if cell["cell_type"] == "code":
            printed = "".join(text for output in cell["outputs"] for text in output["text"])
            tags = cell["metadata"].get("tags", [])
            yield Cell(f"{notebook.name}, cell {number}", "".join(cell["source"]), printed, "varies" in tags)


def run_cell(cell: Cell, names: dict[str, Any]) -> str:
    """What the cell prints."""
    output = io.StringIO()
    with redirect_stdout(output):
        exec(compile(cell.source, cell.place, "exec"), names)
    return output.getvalue()


def fill(notebook: Path) -> None:
    """Run the cells and store what they print."""
    document = json.loads(notebook.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "notebook"}
    code = (cell for cell in document["cells"] if cell["cell_type"] == "code")
    for number, (stored, cell) in enumerate(zip(code, cells_of(notebook), strict=True), start=1):
        text = run_cell(cell, names)
        stored["execution_count"] = number
        lines = text.splitlines(keepends=True)
        stored["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    notebook.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    files = [Path(name).resolve() for name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for file in files:
            fill(file)
