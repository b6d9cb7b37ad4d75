"""What a run found, shown: one offline `report.html`, written from the files of a run directory alone.

- The page: `page`, put together from `*_section(s)`; `markup` and `theme` are its HTML and its style.
- The figures, plotly's JSON: `*_figure(s)`; `figure` is what they share.
- The drawings of an architecture: `drawing` (DOT, Mermaid), `svg`, `cells`; `blocks` is what they read.
- What they all read: `run_files`, the run's files as typed values, and `facts`, the run in words.
- `breakdown` is another page: that of `hwnas predict --html`.

Nothing here measures, trains or decides: every number on the page stands in a file of the run or follows from
those in one line.
"""

from __future__ import annotations

from .drawing import dot_text, mermaid_text
from .page import write_report
from .svg import svg_drawing

__all__ = ["dot_text", "mermaid_text", "svg_drawing", "write_report"]
