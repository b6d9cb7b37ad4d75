"""An architecture as text that other tools draw: Graphviz DOT and Mermaid.

Neither needs a dependency here: `dot -Tsvg` draws the first, GitHub and most wikis the second.
Names may hold any character; each format's own escape makes them plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .blocks import DrawnBlock, parse_blocks

KERNEL_COLOURS = {1: "#5b6b82", 3: "#0b7c68", 5: "#2563c9", 7: "#7a3fb5"}
"""Fill by kernel size; white text on each has a contrast of at least 4.5 to 1 (tested)."""
OTHER_COLOUR = "#525b68"


def colour_of(block: DrawnBlock) -> str:
    """The fill of a block; the same in every drawing."""
    return KERNEL_COLOURS.get(block.kernel or 0, OTHER_COLOUR)


def dot_text(rows: Iterable[Mapping[str, Any]], title: str) -> str:
    """Graphviz text: one box per block, edges labelled with the shape that flows."""
    blocks = parse_blocks(rows)
    lines = [
        f"digraph {quoted(title)} {{",
        "  rankdir=TB;",
        f"  label={quoted(title)};",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontcolor="white", penwidth=0];',
        '  edge [fontname="Helvetica", fontsize=10];',
        '  input [label="image", fillcolor="#9aa3af"];',
    ]
    previous = "input"
    for index, block in enumerate(blocks):
        node = f"b{index}"
        label = quoted(f"{block.name}\n{block.text}")
        lines.append(f'  {node} [label={label}, fillcolor="{colour_of(block)}"];')
        lines.append(f'  {previous} -> {node} [label="{"×".join(map(str, block.inside))}"];')
        previous = node
    return "\n".join([*lines, "}"]) + "\n"


def mermaid_text(rows: Iterable[Mapping[str, Any]], title: str) -> str:
    """Mermaid flow chart, the text that GitHub renders between ```mermaid fences."""
    blocks = parse_blocks(rows)
    # The title is YAML in Mermaid: a quoted string without line ends is safe there.
    lines = ["---", f"title: {_mermaid(title)}", "---", "flowchart TD", '  input["image"]']
    previous = "input"
    for index, block in enumerate(blocks):
        node = f"b{index}"
        lines.append(f"  {node}[{_mermaid(f'{block.name}: {block.text}')}]")
        lines.append(f"  {previous} -->|{'×'.join(map(str, block.inside))}| {node}")
        previous = node
    for index, block in enumerate(blocks):
        lines.append(f"  style b{index} fill:{colour_of(block)},color:#fff,stroke-width:0")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A DOT quoted string; a backslash would start an escape, so each is doubled."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", "\\n")
    return f'"{plain}"'


def _mermaid(text: str) -> str:
    """A Mermaid quoted string: what could end it or be read as markup becomes an entity code."""
    return '"' + re.sub(r'["<>&#`\\\r\n]', lambda match: f"#{ord(match[0])};", text) + '"'
