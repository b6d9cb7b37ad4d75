"""Cells as drawings: Graphviz DOT and SVG, states from left to right, an arc per edge with its operation.

The states before `n_inputs` are the inputs of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping

from .drawing import KERNEL_COLOURS, OTHER_COLOUR, quoted
from .markup import Html, el
from .theme import FONTS

LabelledEdges = Mapping[tuple[int, int], str]
"""A cell: {(source state, target state): operation}."""

HALO: dict[str, str | float] = {"stroke": "var(--card, #fff)", "stroke_width": 4.0, "paint_order": "stroke"}
"""Keeps a text legible where an arc crosses it."""
STEP_PX, RISE_PX, TOP_PX, RADIUS_PX = 150.0, 30.0, 40.0, 20.0


def cell_dot(cells: Mapping[str, LabelledEdges], n_inputs: int, title: str) -> str:
    """Graphviz text with one cluster per kind of cell."""
    lines = [
        f"digraph {quoted(title)} {{",
        "  rankdir=LR;",
        f"  label={quoted(title)};",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fillcolor="#e3e7ed", penwidth=0];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    for number, (kind, cell) in enumerate(cells.items()):
        lines += [f"  subgraph cluster_{number} {{", f"    label={quoted(kind)};"]
        lines += [
            f"    n{number}_{s} [label={quoted(state_name(s, n_inputs))}];" for s in states(cell, n_inputs)
        ]
        lines += [
            f'    n{number}_{s} -> n{number}_{t} [label={quoted(op)}, color="{_colour(op)}"];'
            for (s, t), op in cell.items()
        ]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def cell_svg(cells: Mapping[str, LabelledEdges], n_inputs: int, title: str) -> Html:
    """All kinds of cells below each other as one `<svg>` element."""
    parts, y, width = [], 0.0, 0.0
    for kind, cell in cells.items():
        cell_states = states(cell, n_inputs)
        rise = TOP_PX + RISE_PX * max(len(cell_states) - 1, 1)
        parts.append(_cell(kind, cell, n_inputs, y + rise))
        y += rise + 2 * RADIUS_PX
        width = max(width, STEP_PX * len(cell_states))
    return el(
        "svg",
        el("title", title),
        parts,
        viewBox=f"0 0 {width:.0f} {y:.0f}",
        width=f"{width:.0f}",
        height=f"{y:.0f}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
        font_family=FONTS,
        text_anchor="middle",
        fill="currentColor",
    )


def states(cell: LabelledEdges, n_inputs: int) -> range:
    """All states of a cell, nodes without an edge included."""
    return range(max([n_inputs, *(t for _, t in cell)]) + 1)


def state_name(state: int, n_inputs: int) -> str:
    """Inputs by how far back they come from, nodes by number: as in the published drawings."""
    return f"c_{{k-{n_inputs - state}}}" if state < n_inputs else str(state - n_inputs)


def _cell(kind: str, cell: LabelledEdges, n_inputs: int, y: float) -> Html:
    def x(state: int) -> float:
        return STEP_PX * (state + 0.5)

    drawn = [
        el("text", kind, x=8, y=f"{y - RISE_PX:.0f}", text_anchor="start", font_weight="700", font_size=13)
    ]
    labels = []
    for (s, t), op in cell.items():
        top, middle = y - RADIUS_PX - RISE_PX * (t - s), (x(s) + x(t)) / 2
        base, bend = f"{y - RADIUS_PX:.0f}", f"{middle:.0f} {top - RISE_PX * (t - s):.0f}"
        path = f"M{x(s):.0f} {base}Q{bend} {x(t):.0f} {base}"
        drawn.append(el("path", d=path, fill="none", stroke=_colour(op), stroke_width=2))
        label = el("text", op, x=f"{middle:.0f}", y=f"{top - 3:.0f}", font_size=11, fill=_colour(op), **HALO)
        labels.append(label)
    drawn += labels  # over all arcs
    for state in states(cell, n_inputs):
        ink = "#9aa3af" if state < n_inputs else "#5b6b82"
        drawn.append(el("circle", cx=f"{x(state):.0f}", cy=f"{y:.0f}", r=RADIUS_PX, fill=ink))
        name = state_name(state, n_inputs)
        drawn.append(el("text", name, x=f"{x(state):.0f}", y=f"{y + 4:.0f}", font_size=11, fill="#fff"))
    return el("g", drawn)


def _colour(operation: str) -> str:
    """That of the kernel in every drawing; an operation's name ends with it."""
    size = operation.rpartition("x")[2]
    return KERNEL_COLOURS.get(int(size), OTHER_COLOUR) if size.isdecimal() else OTHER_COLOUR
