"""Operators that move the elements of a tensor, pick some or put some in. A new one is a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from .graph import GraphBuilder, Value
from .operator_rows import ANY, AXES, OperatorBuilder, OperatorRow, integers


def _transpose(g: GraphBuilder, x: Value, rng: Random) -> Value:
    perm = rng.sample(range(len(x.shape)), len(x.shape))
    return g.node("Transpose", [x], [x.shape[i] for i in perm], perm=perm)


def _concat(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis = rng.randrange(len(x.shape))
    parts = [x]
    for _ in range(rng.randint(1, 3)):
        side = rng.randint(1, 2 * x.shape[axis])
        shape = [side if i == axis else n for i, n in enumerate(x.shape)]
        parts.append(x if rng.random() < 0.6 else g.weight(shape, 1.0))
    shape = list(x.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return g.node("Concat", rng.sample(parts, len(parts)), shape, axis=axis)


def _split(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis = max(range(len(x.shape)), key=lambda i: x.shape[i])
    sides = [x.shape[axis] // 2, x.shape[axis] - x.shape[axis] // 2]
    if not sides[0]:
        return g.node("Neg", [x], x.shape)
    shapes = [[n if i == axis else m for i, m in enumerate(x.shape)] for n in sides]
    return g.nodes("Split", [x, g.constant(sides)], shapes, axis=axis)[0]


def _slice(*last: int) -> OperatorBuilder:
    """Of some axes. last: steps to choose from along the last axis, which is then one of them."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        rank = len(x.shape)
        axes = sorted({*rng.sample(range(rank), rng.randint(1, rank)), *([rank - 1] if last else [])})
        steps = [rng.choice((1, 1, 1, 2)) for _ in axes]
        if last:
            steps[-1] = rng.choice(last)
        starts = [rng.randrange(x.shape[i]) for i in axes]
        ends = [x.shape[i] if step > 0 else -x.shape[i] - 1 for i, step in zip(axes, steps, strict=True)]
        shape = list(x.shape)
        for i, start, step in zip(axes, starts, steps, strict=True):
            shape[i] = len(range(start, x.shape[i] if step > 0 else -1, step))
        return g.node("Slice", [x, *map(g.constant, (starts, ends, axes, steps))], shape)

    return build


def _gather(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis, n = rng.randrange(len(x.shape)), rng.choice((1, 2, 8, 64, 300))
    rows = [rng.randrange(x.shape[axis]) for _ in range(n)]
    shape = [n if i == axis else side for i, side in enumerate(x.shape)]
    return g.node("Gather", [x, g.constant(rows)], shape, axis=axis)


def _elements(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        axis = rng.randrange(len(x.shape))
        places = integers(g, x, x.shape[axis] * 0.999)
        inputs = [x, places] if op == "GatherElements" else [x, places, x]
        return g.node(op, inputs, x.shape, axis=axis)

    return build


def _points(op: str) -> OperatorBuilder:
    """Rows of the first axis."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        n = rng.randint(1, max(1, min(x.shape[0], 64)))
        places = g.constant([[rng.randrange(x.shape[0])] for _ in range(n)])
        if op == "GatherND":
            return g.node(op, [x, places], (n, *x.shape[1:]))
        return g.node(op, [x, places, g.weight((n, *x.shape[1:]), 1.0)], x.shape)

    return build


def _pad(g: GraphBuilder, x: Value, rng: Random) -> Value:
    mode = rng.choice(("constant", "constant", "edge", "reflect"))
    most = [min(3, n - 1) if mode == "reflect" else 3 for n in x.shape]
    before, after = ([rng.randint(0, n) for n in most] for _ in range(2))
    shape = [a + n + b for a, n, b in zip(before, x.shape, after, strict=True)]
    return g.node("Pad", [x, g.constant([*before, *after])], shape, mode=mode)


def _tile(g: GraphBuilder, x: Value, rng: Random) -> Value:
    times = [rng.choice((1, 1, 2, 3)) for _ in x.shape]
    return g.node("Tile", [x, g.constant(times)], [a * b for a, b in zip(times, x.shape, strict=True)])


def _expand(g: GraphBuilder, x: Value, rng: Random) -> Value:
    first = rng.randint(2, 9)
    return g.node("Expand", [x, g.constant([first, *x.shape])], (first, *x.shape))


def _trilu(g: GraphBuilder, x: Value, rng: Random) -> Value:
    return g.node("Trilu", [x], x.shape, upper=rng.randint(0, 1))


def _folds(op: str) -> OperatorBuilder:
    """DepthToSpace and SpaceToDepth, on a map whose sides suit."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        b, c, h, w = x.shape
        k = rng.choice((2, 3, 4))
        mode = {"mode": rng.choice(("DCR", "CRD"))} if op == "DepthToSpace" else {}
        tiled = _tiled(g, x, (b, c * k * k, h, w) if mode else (b, c, h * k, w * k))
        shape = (b, c, h * k, w * k) if mode else (b, c * k * k, h, w)
        return g.node(op, [tiled], shape, blocksize=k, **mode)

    return build


def _tiled(g: GraphBuilder, x: Value, shape: Sequence[int]) -> Value:
    times = [a // b for a, b in zip(shape, x.shape, strict=True)]
    return g.node("Tile", [x, g.constant(times)], shape)


def _resize(g: GraphBuilder, x: Value, rng: Random) -> Value:
    mode = rng.choice(("nearest", "nearest", "linear", "cubic"))
    shape = list(x.shape)
    for i in range(2, 4):
        shape[i] = max(1, round(shape[i] * rng.choice((0.5, 1.5, 2, 2, 3))))
    return g.node(
        "Resize",
        [x, "", "", g.constant(shape)],
        shape,
        mode=mode,
        coordinate_transformation_mode=rng.choice(("half_pixel", "asymmetric", "align_corners")),
    )


def _grid_sample(g: GraphBuilder, x: Value, rng: Random) -> Value:
    b, c, h, w = x.shape
    grid = g.weight((b, h, w, 2), 0.5)
    mode = rng.choice(("bilinear", "nearest", "bicubic"))
    return g.node("GridSample", [x, grid], (b, c, h, w), mode=mode)


def _one_hot(g: GraphBuilder, x: Value, rng: Random) -> Value:
    depth = rng.choice((4, 10, 32))
    places = integers(g, x, depth * 0.999)
    values = g.weight((2,), 1.0)
    return g.node("OneHot", [places, g.constant(depth, "int64"), values], (*x.shape, depth))


MOVE_OPERATORS: Mapping[str, OperatorRow] = {
    "Transpose": OperatorRow(AXES[1:], _transpose),
    "Concat": OperatorRow(AXES, _concat),
    "Split": OperatorRow(AXES, _split),
    "Slice": OperatorRow(AXES, _slice()),
    # Two rows, for a kind needs its samples.
    "Slice 2": OperatorRow(AXES, _slice(2, 2, 3)),
    "Slice -1": OperatorRow(AXES, _slice(-1, -1, -2)),
    "Gather": OperatorRow(AXES, _gather),
    **{op: OperatorRow(AXES, _elements(op)) for op in ("GatherElements", "ScatterElements")},
    **{op: OperatorRow(AXES, _points(op)) for op in ("GatherND", "ScatterND")},
    "Pad": OperatorRow(AXES, _pad),
    "Tile": OperatorRow(AXES, _tile),
    "Expand": OperatorRow(ANY, _expand),
    "Trilu": OperatorRow((2, 3, 4), _trilu),
    **{op: OperatorRow((4,), _folds(op)) for op in ("DepthToSpace", "SpaceToDepth")},
    "Resize": OperatorRow((4,), _resize),
    "GridSample": OperatorRow((4,), _grid_sample),
    "OneHot": OperatorRow((1, 2, 3), _one_hot),
}
