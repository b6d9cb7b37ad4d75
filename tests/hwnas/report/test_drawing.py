"""The drawings: everything shown, nothing executed, whatever the names hold."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from hwnas.report import dot_text, mermaid_text, svg_drawing
from hwnas.report.drawing import KERNEL_COLOURS, OTHER_COLOUR
from targets.errors import UsageError

EVIL = '<script>alert("x")</script> "] --> evil \\" & \n #'
STEM = {
    "name": "stem", "kind": "conv", "kernel": 3, "expand": None, "se": False, "act": "relu",
    "in": [3, 32, 32], "out": [16, 16, 16], "stride": 2,
}  # fmt: skip
BLOCK = {
    "name": "s1.b0", "kind": "mbconv", "kernel": 5, "expand": 6, "se": True, "act": "hardswish",
    "in": [16, 16, 16], "out": [24, 8, 8], "stride": 2,
}  # fmt: skip
SKIP = {**BLOCK, "name": "s1.b1", "kind": "skip", "kernel": None, "expand": None, "se": False, "act": "",
        "in": [24, 8, 8], "stride": 1}  # fmt: skip
HEAD = {**SKIP, "name": "head", "kind": "head", "out": [10, 1, 1]}
NET = [STEM, BLOCK, SKIP, HEAD]


def test_svg_is_well_formed_and_shows_each_block() -> None:
    root = ElementTree.fromstring(svg_drawing(NET, "a net"))
    texts = [node.text for node in root.iter() if node.text]
    for wanted in ("5×5", "e6", "SE", "h-swish", "24", "16×16", "8×8", "skip"):
        assert wanted in texts
    assert "s1.b0: mbconv, 5×5, expansion 6, SE, hardswish, stride 2; 16×16×16 → 24×8×8" in texts


def test_kernels_of_signals_lie_in_one_row() -> None:
    row = {**BLOCK, "in": [16, 1, 64], "out": [24, 1, 32]}
    drawn = svg_drawing([row], "signals")
    assert "1×5" in drawn and "5×5" not in drawn and "mbconv, 1×5" in drawn


def test_svg_boxes_do_not_overlap_and_stay_inside() -> None:
    root = ElementTree.fromstring(svg_drawing(NET * 6, "long"))
    space = {"s": "http://www.w3.org/2000/svg"}
    spans = [
        (float(r.get("x", "")), float(r.get("x", "")) + float(r.get("width", "")))
        for r in root.findall(".//s:rect", space)
    ]
    assert len(spans) == 24
    assert all(left[1] < right[0] for left, right in pairwise(spans))
    assert spans[-1][1] < float(root.get("width", ""))


def test_names_are_text_in_every_format() -> None:
    rows = [{**BLOCK, "name": EVIL, "kind": EVIL, "act": EVIL}]
    svg = svg_drawing(rows, EVIL)
    assert "<script" not in svg
    assert EVIL.splitlines()[0] in "".join(ElementTree.fromstring(svg).itertext())
    dot = dot_text(rows, EVIL)
    # A DOT string ends at an unescaped quote: outside of strings nothing of the name may remain.
    assert "evil" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", dot, flags=re.S)
    mermaid = mermaid_text(rows, EVIL)
    assert "<" not in mermaid.replace("<br", "")
    assert "evil" not in re.sub(r'"[^"\n]*"', "", mermaid)


def test_dot_and_mermaid_hold_one_edge_per_block() -> None:
    assert dot_text(NET, "n").count(" -> ") == len(NET)
    assert mermaid_text(NET, "n").count(" -->|") == len(NET)
    assert 'input -> b0 [label="3×32×32"];' in dot_text(NET, "n")


def test_empty_architecture_draws() -> None:
    ElementTree.fromstring(svg_drawing([], "nothing"))
    assert "digraph" in dot_text([], "nothing")


@pytest.mark.parametrize("bad", [{"name": "x"}, {**BLOCK, "in": [1, 2]}, {**BLOCK, "out": [0, 1, 1]}, "text"])
def test_what_is_no_block_is_refused_by_position(bad: Any) -> None:
    with pytest.raises(UsageError, match="block 1 of an architecture"):
        svg_drawing([BLOCK, bad], "x")


def _luminance(colour: str) -> float:
    """WCAG 2.1 relative luminance of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [*KERNEL_COLOURS.values(), OTHER_COLOUR])
def test_white_text_on_a_block_is_readable_by_wcag_aa(colour: str) -> None:
    assert 1.05 / (_luminance(colour) + 0.05) >= 4.5
