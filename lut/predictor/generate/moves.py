"""Operators that compute nothing: joins, parts, shapes, padding and resizing, as the exporter writes them."""

from __future__ import annotations

from collections.abc import Sequence

from .graph import GraphBuilder, Value


def concat(g: GraphBuilder, parts: Sequence[Value], axis: int = 1) -> Value:
    """Join along an axis."""
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    return g.node("Concat", parts, shape, axis=axis)


def split(g: GraphBuilder, x: Value, parts: int, axis: int = 1) -> list[Value]:
    """Equal parts along an axis."""
    shape = list(x.shape)
    shape[axis] //= parts
    return g.nodes("Split", [x, g.constant([shape[axis]] * parts)], [shape] * parts, axis=axis)


def part(g: GraphBuilder, x: Value, start: int, stop: int, axis: int = 1) -> Value:
    """Slice x[start:stop] along an axis."""
    shape = list(x.shape)
    shape[axis] = stop - start
    return g.node("Slice", [x, *(g.constant([v]) for v in (start, stop, axis, 1))], shape)


def reshape(g: GraphBuilder, x: Value, shape: Sequence[int]) -> Value:
    """The same elements in another shape."""
    return g.node("Reshape", [x, g.constant(list(shape))], shape)


def transpose(g: GraphBuilder, x: Value, perm: Sequence[int]) -> Value:
    """Permute the axes."""
    return g.node("Transpose", [x], [x.shape[i] for i in perm], perm=list(perm))


def squeeze(g: GraphBuilder, x: Value, axis: int) -> Value:
    """Drop an axis of length 1."""
    return g.node("Squeeze", [x, g.constant([axis])], x.shape[:axis] + x.shape[axis + 1 :])


def unsqueeze(g: GraphBuilder, x: Value, axis: int) -> Value:
    """Insert an axis of length 1."""
    return g.node("Unsqueeze", [x, g.constant([axis])], (*x.shape[:axis], 1, *x.shape[axis:]))


def flatten(g: GraphBuilder, x: Value) -> Value:
    """(b, ...) -> (b, n)."""
    return g.node("Flatten", [x], (x.shape[0], x.size // x.shape[0]), axis=1)


def pad_map(g: GraphBuilder, x: Value, before: int, after: tuple[int, int]) -> Value:
    """Zeros around a map: `before` at top and left, `after` at bottom and right."""
    b, c, h, w = x.shape
    pads = g.constant([0, 0, before, before, 0, 0, *after])
    return g.node("Pad", [x, pads], (b, c, h + before + after[0], w + before + after[1]), mode="constant")


def resize(g: GraphBuilder, x: Value, hw: tuple[int, int], mode: str = "nearest") -> Value:
    """Interpolate to a size, as torch's interpolate(size=...) is written."""
    coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
    shape = (*x.shape[:2], *hw)
    return g.node(
        "Resize",
        [x, "", "", g.constant(list(shape))],
        shape,
        coordinate_transformation_mode=coordinates,
        cubic_coeff_a=-0.75,
        mode=mode,
        nearest_mode="floor",
    )


def tokens(g: GraphBuilder, x: Value) -> Value:
    """(b, c, h, w) -> (b, h * w, c)."""
    b, c, h, w = x.shape
    return transpose(g, reshape(g, x, (b, c, h * w)), (0, 2, 1))


def as_map(g: GraphBuilder, x: Value, hw: tuple[int, int]) -> Value:
    """(b, h * w, c) -> (b, c, h, w)."""
    b, _, c = x.shape
    return reshape(g, transpose(g, x, (0, 2, 1)), (b, c, *hw))
