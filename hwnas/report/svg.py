"""An architecture as one inline SVG: what a network looks like at a glance, without any library.

Read from left to right: height is the output resolution (log scale), width the output channels (square
root), colour the kernel. Text below a block: channels, squeeze-and-excite, activation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from .blocks import DrawnBlock, parse_blocks
from .drawing import KERNEL_COLOURS, OTHER_COLOUR, colour_of
from .markup import Html, el
from .theme import FONTS

GAP_PX = 9.0
TOP_PX = 34.0  # room for the resolution brackets
BELOW_PX = 56.0  # room for three lines of text
SHORT_ACTIVATIONS = {"hs": "h-swish", "hardswish": "h-swish", "hard_swish": "h-swish", "relu": "ReLU"}
SHORT_KINDS = {"mb": "MB", "mbconv": "MB", "fused_mbconv": "fused"}


def svg_drawing(rows: Iterable[Mapping[str, Any]], title: str) -> Html:
    """The architecture as an `<svg>` element, with a tooltip per block; scales down, never up."""
    return draw_blocks(parse_blocks(rows), title)


def draw_blocks(blocks: tuple[DrawnBlock, ...], title: str) -> Html:
    """As `svg_drawing`, for blocks that were parsed before."""
    tallest = max((_height_px(block) for block in blocks), default=40.0)
    middle = TOP_PX + tallest / 2
    x, parts, places = GAP_PX, [], []
    for block in blocks:
        width = _width_px(block)
        parts.append(_block(block, x, middle, width, TOP_PX + tallest + 16))
        places.append(((block.outside[1], block.outside[2]), x, x + width))
        x += width + GAP_PX
    line = el("line", x1=0, x2=_px(x), y1=_px(middle), y2=_px(middle), stroke="currentColor", opacity="0.35")
    height = TOP_PX + tallest + BELOW_PX
    return el(
        "svg",
        el("title", title),
        line,
        _brackets(places),
        parts,
        viewBox=f"0 0 {_px(x)} {_px(height)}",
        width=_px(x),
        height=_px(height),
        role="img",
        xmlns="http://www.w3.org/2000/svg",
        font_family=FONTS,
        text_anchor="middle",
    )


def legend() -> Html:
    """What height, width, colour and the small texts mean: once per page."""
    names = [(str(size), colour) for size, colour in KERNEL_COLOURS.items()]
    swatches = [
        el("li", el("span", class_="swatch", style=f"background:{colour}"), name)
        for name, colour in [*names, ("no kernel", OTHER_COLOUR)]
    ]
    return el(
        "div",
        el("ul", el("li", el("b", "Side of the kernel")), swatches, class_="legend"),
        el(
            "p",
            "Left to right: image to logits. ",
            el("b", "Height"),
            " is the output resolution (also on top), ",
            el("b", "width"),
            " the output channels (also below). ",
            el("b", "e6"),
            " is an expansion of 6, ",
            el("b", "SE"),
            " squeeze-and-excite; the last line is the activation. A dashed block is a skip.",
            class_="note",
        ),
    )


def _is_skip(block: DrawnBlock) -> bool:
    return not block.kernel and block.inside == block.outside and block.stride == 1


def _width_px(block: DrawnBlock) -> float:
    return 30.0 if _is_skip(block) else min(30 + 3.0 * math.sqrt(block.channels), 92.0)


def _height_px(block: DrawnBlock) -> float:
    return min(46 + 15 * math.log2(max(block.outside[1], block.outside[2])), 165.0)


def _block(block: DrawnBlock, x: float, middle: float, width: float, below: float) -> Html:
    """One block with its texts; `below` is the y of the first text line under the blocks."""
    height, centre = _height_px(block), x + width / 2
    skip = _is_skip(block)
    box = el(
        "rect",
        x=_px(x),
        y=_px(middle - height / 2),
        width=_px(width),
        height=_px(height),
        rx=7,
        fill="var(--card, #fff)" if skip else colour_of(block),
        stroke="currentColor" if skip else None,
        stroke_dasharray="3 3" if skip else None,
        opacity="0.8" if skip else None,
    )
    kind = SHORT_KINDS.get(block.kind.lower(), block.kind)[:6]
    lines = ["skip"] if skip else [kind]
    lines += [block.kernel_text] if block.kernel else []
    lines += [f"e{block.expand:g}"] if block.expand else []
    top = middle - 13 * (len(lines) - 1) / 2 + 4
    ink = "currentColor" if skip else "#fff"
    inner = [
        _text(line, centre, top + 13 * row, ink, bold=row == 1, size=12 if row == 1 else 10)
        for row, line in enumerate(lines)
    ]
    act = SHORT_ACTIVATIONS.get(block.act.lower(), block.act)[:8]
    small = [(str(block.channels), True), ("SE" if block.se else "", True), (act, False)]
    outer = [
        _text(text, centre, below + 13 * row, "currentColor", bold=bold, size=10)
        for row, (text, bold) in enumerate(small)
        if text and not skip
    ]
    return el("g", el("title", f"{block.name}: {block.text}"), box, inner, outer)


def _brackets(places: Sequence[tuple[tuple[int, int], float, float]]) -> list[Html]:
    """A bracket with the resolution over each run of blocks that share it."""
    drawn = []
    for size, run in groupby(places, key=lambda place: place[0]):
        spans = list(run)
        left, right = spans[0][1], spans[-1][2]
        path = f"M{_px(left)} 26v-5H{_px(right)}v5"
        drawn.append(el("path", d=path, fill="none", stroke="currentColor", opacity="0.45"))
        text = f"{size[0]}×{size[1]}"
        drawn.append(_text(text, (left + right) / 2, 15, "currentColor", bold=False, size=11))
    return drawn


def _text(text: str, x: float, y: float, ink: str, *, bold: bool, size: int) -> Html:
    weight = "700" if bold else None
    return el("text", text, x=_px(x), y=_px(y), fill=ink, font_size=size, font_weight=weight)


def _px(value: float) -> str:
    return f"{value:.1f}"
