"""The sizes of a model's inputs: those that the file fixes, that the user gives, and that are assumed."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TypeGuard

from profilers.graph import OnnxGraph, OpenShape, TensorInfo
from targets.errors import UsageError

Shapes = Mapping[str, Sequence[int]]
"""Sizes of all axes by name of the input."""

_LENGTHS = ("seq", "len", "time", "frame", "token", "word", "step", "point", "sample", "node", "edge", "box")
"""In names of axes that are how long, and not how many."""


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`NAME=1,3,224,224`, one per input; UsageError says how it is written."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise UsageError(f"--shape must be NAME=SIZE,SIZE,... with sizes of at least 1, got {text!r}")
        if name in shapes:
            raise UsageError(f"--shape gives {name!r} twice")
        shapes[name] = shape
    return shapes


def has_open_shape(graph: OnnxGraph, name: str) -> bool:
    """Whether the input is there and an axis of it has no size."""
    return name in graph.inputs and not all(map(_is_size, graph.inputs[name].shape))


def has_open_batch(shape: OpenShape) -> bool:
    """Whether only the first axis is open, and its name speaks of no length: then it is how many at once."""
    rest = [n for n in shape[1:] if _is_size(n)]
    first = shape[0] if shape else 1
    if len(shape) < 2 or len(rest) < len(shape) - 1 or _is_size(first):
        return False
    return not any(word in str(first).lower() for word in _LENGTHS)


def bound_sizes(
    graph: OnnxGraph, shapes: Shapes, unranked: Container[str], where: str
) -> dict[str, tuple[int, ...]]:
    """The sizes of all inputs; axes that share a name share the size."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        _bind(graph.inputs[name], name, shape, sizes, where)
    for name, tensor in graph.inputs.items():
        if name not in shapes and has_open_batch(tensor.shape) and isinstance(tensor.shape[0], str):
            sizes.setdefault(tensor.shape[0], 1)  # other inputs may share the axis
    bound: dict[str, tuple[int, ...]] = {}
    for name, tensor in graph.inputs.items():
        filled = tuple(sizes.get(n, n) if isinstance(n, str) and n else n for n in tensor.shape)
        if has_open_batch(filled):
            filled = (1, *filled[1:])
        wanted = tuple(shapes[name]) if name in shapes else filled
        sized = tuple(n for n in wanted if _is_size(n))
        if len(sized) < len(wanted) or (name in unranked and name not in shapes):
            axes = "any number of axes" if name in unranked else ", ".join(map(_axis, wanted))
            raise UsageError(
                f"{where}: input {name!r} has an open shape ({axes}); give its sizes, for example "
                f"--shape {name}={_example(wanted)}"
            )
        bound[name] = sized
    return bound


def _bind(tensor: TensorInfo, name: str, shape: Sequence[int], sizes: dict[str, int], where: str) -> None:
    """Check a given shape against the file's; what its named axes are goes into `sizes`."""
    if tensor.shape and len(tensor.shape) != len(shape):
        raise UsageError(
            f"{where}: input {name!r} has {len(tensor.shape)} axes ({', '.join(map(_axis, tensor.shape))}), "
            f"--shape gives {len(shape)}"
        )
    for axis, size in zip(tensor.shape, shape, strict=False):
        if (_is_size(axis) and axis != size) or sizes.get(str(axis), size) != size:
            other = sizes.get(str(axis), axis)
            raise UsageError(
                f"{where}: axis {_axis(axis)} of input {name!r} is {other} already, --shape gives {size}"
            )
        if isinstance(axis, str) and axis:
            sizes[axis] = size


def _is_size(n: int | str | None) -> TypeGuard[int]:
    """Whether an axis has a size, 0 included, and no name and nothing in its place."""
    return isinstance(n, int) and n >= 0


def _axis(size: int | str | None) -> str:
    return str(size) if size not in (None, "", -1) else "?"


def _example(shape: OpenShape) -> str:
    """A batch of one; images of 224 pixels, texts of 128 words."""
    likely = [1, 3, 224, 224] if len(shape) in (0, 4) else [1, *[128] * (len(shape) - 1)]
    known = [n if _is_size(n) else likely[i] for i, n in enumerate(shape)]
    return ",".join(map(str, known or likely))
