"""A network to profile: a stem, blocks from the table at falling resolution, a head, within a budget.

The channels of a block follow from its resolution as they do in published networks; independent draws would
give shapes that no network has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import TypeVar

from .ends import STEMS, Stem, build_head, build_stem, halve
from .forms import ELEMENT_COST, Form
from .graph import GraphBuilder, Value
from .ops import conv
from .parts import even
from .rows import BlockRow

T = TypeVar("T")

_TRIES = 14

# (parameters, share of networks): most files are small, a few hold late wide layers.
_PARAMETERS = ((2e6, 0.45), (4e6, 0.3), (8e6, 0.16), (13e6, 0.09))

_OBLONG = ((3, 4), (4, 3), (1, 2), (2, 1), (9, 16), (1, 3))
_BATCHES = ((1, 0.86), (2, 0.06), (4, 0.05), (8, 0.03))

# Channels at 1/2 .. 1/32 of the image: as in torchvision's and timm's networks, repeated where frequent.
CHANNELS: tuple[tuple[int, ...], ...] = (
    (8, 16, 16, 24, 32, 32, 48, 64, 64, 96, 128),
    (16, 24, 24, 32, 32, 40, 48, 56, 64, 64, 72, 80, 96, 96, 128, 192, 256, 256),
    (32, 40, 40, 48, 64, 64, 80, 96, 112, 128, 128, 144, 160, 192, 256, 320, 384, 512, 512),
    (64, 80, 96, 112, 112, 128, 160, 192, 224, 256, 256, 320, 384, 384, 448, 512, 576, 768, 1024, 1024),
    (96, 160, 192, 256, 320, 320, 384, 448, 512, 512, 576, 640, 768, 768, 960, 1024, 1280, 1536, 2048, 2048),
)
_ODD = (-6, -2, 2, 2, 6, 10, 1, 3)
_ODD_STAGES = 0.12
"""Stages whose channels are no multiple of 4 (ShuffleNet's 58, HRNet's 18): other kernels run there."""
_UNALIGNED = (-8, -4, 4, 8, 12, -12)
_UNALIGNED_SHARE = 0.12  # of the other stages: multiples of 4 or 8 off the usual ones (100, 116, 232, 440)


@dataclass(frozen=True, slots=True)
class Style:
    """Of the blocks of a kind: the factor on their channels, and what makes them alike ("": unlike)."""

    width: float
    alike: str


@dataclass(frozen=True, slots=True)
class Generated:
    """A network to profile.

    key: its name in a job.
    form: of `forms`, of `small`, or `operators`.
    macs: multiply-accumulates.
    rows: the kinds of blocks in it, one per stage.
    onnx: writes the file's bytes, weights included, when it is called.
    """

    key: str
    form: str
    macs: int
    rows: tuple[str, ...]
    onnx: Callable[[], bytes]


def block_network(key: str, form: Form, rows: list[BlockRow], stems: list[Stem], rng: Random) -> Generated:
    """A network of these kinds of blocks, one per stage, and these stems, at a cost that the form allows."""
    cost = exp(rng.uniform(*map(log, form.cost)))
    room = _weighted(_PARAMETERS, rng)
    batch = _weighted(_BATCHES, rng)
    image_hw = _image(form, cost / batch, rng)
    width = rng.choice(form.widths)
    levels = sorted(
        ((_level(row, image_hw, form.least_px, rng), row) for row in rows), key=lambda pair: pair[0]
    )
    g = GraphBuilder()
    image = Value("image", (batch, rng.choice(form.image_channels), *image_hw))
    x, level, sides = _stems(g, image, stems, levels[0][0], cost, rng)
    # Uneven shares, so that some kernels are as large as the largest of published networks.
    shares = [exp(rng.gauss(0, 1)) for _ in levels]
    for i, (wanted, row) in enumerate(levels):
        limits = (
            max(cost - _cost(g), 0.1 * cost) * shares[i] / sum(shares[i:]),
            (room - g.parameters) * max(0.5, 1 / (len(levels) - i)),
        )
        style = Style(width, f"{key} {row.name}" if form.kinds else "")
        x = _stage(g, x, row, (level, wanted), limits, style, rng)
        level = max(level, wanted)
    spare = room - g.parameters if form.head is None else form.head * cost
    logits = build_head(
        g, x, sides, int(max(spare, rng.choice((5e4, 1.4e6)) if form.head is None else 2e3)), rng
    )
    return Generated(
        key=key,
        form=form.name,
        macs=g.macs,
        rows=tuple(row.name for _, row in levels),
        onnx=lambda: g.onnx_bytes([image], [logits]),
    )


def _cost(g: GraphBuilder) -> float:
    return g.macs + ELEMENT_COST * g.elements


def _weighted(table: tuple[tuple[T, float], ...], rng: Random) -> T:
    return rng.choices([v for v, _ in table], [share for _, share in table])[0]


def _image(form: Form, cost: float, rng: Random) -> tuple[int, int]:
    """Height and width; small budgets have small images, as the stem alone would spend them."""
    size = rng.choice([s for s in form.sizes if s * s * 300 <= cost] or form.sizes[:1])
    if rng.random() >= 0.15 or size < 64:
        return size, size
    a, b = rng.choice(_OBLONG)
    unit = size / (a * b) ** 0.5
    return round(unit * a / 32) * 32 or 32, round(unit * b / 32) * 32 or 32


def _level(row: BlockRow, image_hw: tuple[int, int], least_px: int, rng: Random) -> int:
    """log2 of the reduction at which the row stands; maps are `least_px` wide, or less where the row must."""
    allowed = [i + 1 for i, share in enumerate(row.levels) if share and min(image_hw) >> (i + 1) >= least_px]
    if not allowed:
        return next(i + 1 for i, share in enumerate(row.levels) if share)
    return rng.choices(allowed, [row.levels[i - 1] for i in allowed])[0]


def _stems(
    g: GraphBuilder, image: Value, stems: list[Stem], first: int, cost: float, rng: Random
) -> tuple[Value, int, list[Value]]:
    """The map that the first block gets, its level, and the outputs of stems beside it.

    A network has one stem, and single stem kernels are the hardest to predict: the dealt stems that cannot
    lead to the first block stand beside the main one and are joined in the head.
    """
    built: list[tuple[Value, int]] = []
    for stem in stems:
        mark = g.mark()
        y = build_stem(g, image, stem, rng)
        if _cost(g) > 0.5 * cost or min(y.hw) < 1 or g.parameters > 1e6:
            g.rewind(mark)
        else:
            built.append((y, stem.stride.bit_length() - 1))
    main = next((i for i, (_, level) in enumerate(built) if first - 2 <= level <= first), None)
    if main is not None:
        x, level = built.pop(main)
    else:
        fitting = [s for s in STEMS if s.stride == 2 ** min(first, 2) and len(s.convs) == 1]
        x, level = build_stem(g, image, rng.choice(fitting), rng), min(first, 2)
    return x, level, [y for y, _ in built]


def _stage(
    g: GraphBuilder,
    x: Value,
    row: BlockRow,
    levels: tuple[int, int],
    limits: tuple[float, float],
    style: Style,
    rng: Random,
) -> Value:
    """One to three blocks of a kind, the draw out of `_TRIES` that is nearest to the budget."""
    mark, before = g.mark(), (_cost(g), g.parameters)
    best: tuple[float, int] | None = None
    for _ in range(_TRIES):
        seed = rng.getrandbits(32)
        _blocks(g, x, row, levels, style, Random(seed))
        spent, parameters = _cost(g) - before[0], g.parameters - before[1]
        miss = abs(log(max(spent, 1) / limits[0])) + 4 * max(
            0.0, log(max(parameters, 1) / max(limits[1], 1e4))
        )
        best = min(best or (miss, seed), (miss, seed))
        g.rewind(mark)
        if miss < 0.3:
            break
    return _blocks(g, x, row, levels, style, Random(best[1] if best else 0))


def _blocks(
    g: GraphBuilder, x: Value, row: BlockRow, levels: tuple[int, int], style: Style, rng: Random
) -> Value:
    level, wanted = levels
    offsets: tuple[int, ...] = (0,)
    if rng.random() < _ODD_STAGES:
        offsets = _ODD
    elif rng.random() < _UNALIGNED_SHARE:
        offsets = _UNALIGNED

    def channels(at: int) -> int:
        c = rng.choice(CHANNELS[at - 1])
        return max(4, (c if style.width == 1 else even(round(c * style.width), 4)) + rng.choice(offsets))

    while level < wanted - (0 if row.keeps else 1):
        level += 1
        x = halve(g, x, channels(level), Random(style.alike) if style.alike else rng)
    stride = 2 if level < wanted else 1
    for i in range(rng.choice((1, 1, 2, 3, 4) if style.alike else (1, 2, 3, 3))):
        c = x.c if i and (style.alike or rng.random() < 0.5) else channels(wanted)
        if row.keeps and x.c != c and rng.random() < 0.8:
            x = conv(g, x, c)
        of_block = Random(style.alike) if style.alike else rng
        x = row.build(g, x, x.c if row.keeps else c, 1 if i else stride, of_block)
    return x
