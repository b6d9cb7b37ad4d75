"""What a run found, shown: one offline `report.html`, written from the files of a run directory alone.

`page.py` assembles the sections, `plots.py` and its neighbours make the figures, `drawing.py` and `svg.py`
draw an architecture (DOT, Mermaid, SVG). Nothing here measures, trains or decides: every number on the page
stands in a file of the run or follows from those in one line.
"""

from __future__ import annotations

from .drawing import dot_text, mermaid_text
from .page import write_report
from .svg import svg_drawing

__all__ = ["dot_text", "mermaid_text", "svg_drawing", "write_report"]
