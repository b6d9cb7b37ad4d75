"""What a network's inputs are fed: values that its graph can take, and those that a user gives.

Whole numbers are often rows of a table, a shape or a divisor, and most numbers are then wrong. The graph says
what an input goes to; through operators that keep values it is followed. What goes out is the entry of the
file's metadata that `profilers.inputs` reads.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from profilers.graph import OnnxGraph, OnnxNode, TensorInfo
from targets.errors import DamagedFileError, UsageError
from targets.files import read_regular, user_path

Values = Mapping[str, Any]
"""Arrays by name of the input."""

Sizes = Mapping[str, Sequence[int]]
"""Shapes by name, of inputs and weights."""

INTEGERS: Mapping[int, str] = {
    2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 12: "uint32", 13: "uint64",
}  # fmt: skip
"""numpy type by TensorProto.DataType."""

_FLOATS: Mapping[int, str] = {1: "float32", 10: "float16", 11: "float64", 16: "float32"}
_BOOL, _STRING = 9, 8
_HIGHEST, _MANY, _TO_THE_END = 7, 8, (1 << 31) - 1

_KEEPING = frozenset((
    "Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Concat", "Slice",
    "Expand", "Tile", "Split", "Gather", "GatherElements", "Where", "Pad", "Dropout", "Clip", "Max", "Min",
))  # fmt: skip
"""Their outputs hold values of their first input, or of any (Concat, Where, Max, Min)."""

_ROWS: Mapping[tuple[str, int], tuple[int, int]] = {
    ("Gather", 1): (0, 0), ("GatherElements", 1): (0, 0), ("ScatterElements", 1): (0, 0),
    ("Scatter", 1): (0, 0), ("EmbedLayerNormalization", 0): (2, 0), ("EmbedLayerNormalization", 1): (4, 0),
    ("NegativeLogLikelihoodLoss", 1): (0, 1), ("SoftmaxCrossEntropyLoss", 1): (0, 1),
    ("ArrayFeatureExtractor", 1): (0, -1),
}  # fmt: skip
"""(operator, place of an index): place of the table whose rows it counts, and their axis if none is given."""

_POINTS = (("GatherND", 1), ("ScatterND", 1))
"""Indices of several axes at once."""

_DIVISORS = (("Div", 1), ("Mod", 1))

Fill = Callable[[OnnxNode, int, Sizes], Sequence[float]]
"""(node, numbers wanted, known shapes) -> the numbers."""


_REDUCTIONS = ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")


def _ones(_: OnnxNode, n: int, __: Sizes) -> Sequence[float]:
    return [1] * n


def _zeros(_: OnnxNode, n: int, __: Sizes) -> Sequence[float]:
    return [0] * n


def _first(_: OnnxNode, n: int, __: Sizes) -> Sequence[float]:
    return list(range(n))


def _many(_: OnnxNode, n: int, __: Sizes) -> Sequence[float]:
    return [_MANY] * n


def _ends(_: OnnxNode, n: int, __: Sizes) -> Sequence[float]:
    return [_TO_THE_END] * n


def _same_shape(node: OnnxNode, n: int, sizes: Sizes) -> Sequence[float]:
    """The shape of the data where it has as many axes; else all in the first axis, or nothing repeated."""
    shape = sizes.get(node.inputs[0], ())
    if len(shape) == n and all(size > 0 for size in shape):
        return list(shape)
    return [-1 if node.op == "Reshape" else 1, *[1] * (n - 1)][:n]


def _halves(_: OnnxNode, n: int, __: Sizes) -> Sequence[float]:
    return [0.5] * n


def _parts(node: OnnxNode, n: int, sizes: Sizes) -> Sequence[float]:
    """Sizes of the parts of an axis: as equal as they can be; 1 where the axis is not known."""
    shape = sizes.get(node.inputs[0])
    size = _rows(shape, _axis_of(node, 0)) if shape else n
    return [size // n + (i < size % n) for i in range(n)]


def _steps(node: OnnxNode, n: int, sizes: Sizes) -> Sequence[float]:
    """The length of all sequences, which are the first axis of the data."""
    return [_rows(sizes.get(node.inputs[0]), 1 if node.attributes.get("layout") else 0)] * n


def _grid(node: OnnxNode, n: int, sizes: Sizes) -> Sequence[float]:
    """The images of a grid: as many as there are matrices."""
    return [_rows(sizes.get(node.inputs[0]), 0), 1, *[_MANY] * n][:n]


def _blocks(node: OnnxNode, n: int, sizes: Sizes) -> Sequence[float]:
    """An image of one row with a pixel for each of the blocks, which are one pixel each then."""
    return [*[1] * (n - 1), _rows(sizes.get(node.inputs[0]), -1)][-n:]


_FILLS: Mapping[tuple[str, int], Fill] = {
    ("Reshape", 1): _same_shape, ("Expand", 1): _same_shape, ("Resize", 3): _same_shape, ("Resize", 2): _ones,
    ("Upsample", 1): _ones, ("Tile", 1): _ones, ("ConstantOfShape", 0): _ones, ("Slice", 1): _zeros,
    ("Slice", 2): _ends, ("Slice", 3): _first, ("Slice", 4): _ones, ("Range", 0): _zeros, ("Range", 1): _many,
    ("Range", 2): _ones, ("TopK", 1): _ones, ("Pad", 1): _zeros, ("Squeeze", 1): _first,
    ("Unsqueeze", 1): _first,
    ("CumSum", 1): _zeros, ("Trilu", 1): _zeros, ("OneHot", 1): _many, ("Loop", 0): _ones,
    ("CumProd", 1): _zeros, ("Pad", 3): _first, ("DFT", 1): _many, ("DFT", 2): _ones, ("Dropout", 1): _halves,
    ("NonMaxSuppression", 2): _many, ("NonMaxSuppression", 3): _halves, ("NonMaxSuppression", 4): _zeros,
    ("Split", 1): _parts, ("SplitToSequence", 1): _parts, ("AffineGrid", 1): _grid,
    ("Col2Im", 1): _blocks, ("Col2Im", 2): _ones, ("TensorScatter", 2): _zeros, ("Attention", 6): _ones,
    ("ReverseSequence", 1): _ones, ("ConvInteger", 2): _zeros, ("ConvInteger", 3): _zeros,
    ("MatMulInteger", 2): _zeros, ("MatMulInteger", 3): _zeros,
    **{(op, 4): _steps for op in ("LSTM", "GRU", "RNN")},
    **{(f"Reduce{name}", 1): _first for name in _REDUCTIONS},
}  # fmt: skip
"""(operator, place of an input that is a shape, axes or a limit): the numbers that change least."""


def input_entries(
    graph: OnnxGraph, shapes: Sizes, values: Values, given: Sizes, where: str
) -> dict[str, Any]:
    """What the metadata say of each input; {} where nothing is to be said.

    shapes: of all inputs. values: what the user gives. given: shapes that differ from those of the file.
    """
    weights = {name: [int(n or 0) for n in tensor.shape] for name, tensor in graph.weights.items()}
    sizes: dict[str, Sequence[int]] = {**weights, **shapes}
    entries: dict[str, Any] = {}
    for name, tensor in graph.inputs.items():
        entry: dict[str, Any] = {"shape": list(given[name])} if name in given else {}
        if name in values:
            entry["npy"] = _npy(_typed(values[name], tensor, shapes[name], name, where))
        else:
            entry |= _guess(graph, name, tensor, math.prod(shapes[name]), sizes)
        if entry:
            entries[name] = entry
    return entries


def _guess(graph: OnnxGraph, name: str, tensor: TensorInfo, n: int, sizes: Sizes) -> dict[str, Any]:
    """The numbers, or the lowest and the highest, that all operators take to which the input goes."""
    whole = tensor.kind in INTEGERS
    low, high = 0, _HIGHEST if whole else 1
    rows: list[int] = []
    for node, place in _uses(graph, name):
        use = (node.op, place)
        if use in _FILLS and (whole or tensor.kind in _FLOATS):
            return {"values": list(_FILLS[use](node, n, sizes))}
        if use in _DIVISORS:
            low = 1
        elif use in _ROWS:
            place, axis = _ROWS[use]
            table = node.inputs[place] if len(node.inputs) > place else ""
            rows.append(_rows(sizes.get(table), _axis_of(node, axis)))
        elif use in _POINTS:
            shape, index = sizes.get(node.inputs[0], ()), sizes.get(name, ())
            rows.append(min(shape[: index[-1]], default=1) if shape and index else 1)
    if not whole:
        return {} if tensor.kind != _BOOL else {"low": 0, "high": 1}
    return {"low": low, "high": max(min(rows) - 1, low) if rows else high}


def _uses(graph: OnnxGraph, name: str) -> list[tuple[OnnxNode, int]]:
    """(node, place) of all that reads the input or what has its values, in branches and bodies too."""
    same, uses = {name}, []
    nodes = list(graph.every_node())
    before = 0
    while len(same) > before:  # a branch comes before the node that runs it, so one pass may not be enough
        before = len(same)
        for node in nodes:
            all_of_them = node.op in ("Concat", "Where", "Max", "Min")
            data = [n for n in (node.inputs if all_of_them else node.inputs[:1]) if n]
            if node.op in _KEEPING and same.intersection(data):
                same.update(n for n in node.outputs if n)
    for node in nodes:
        uses += [(node, place) for place, value in enumerate(node.inputs) if value in same]
    return uses


def _axis_of(node: OnnxNode, default: int) -> int:
    axis = node.attributes.get("axis", default)
    return axis if isinstance(axis, int) else default


def _rows(shape: Sequence[int] | None, axis: int) -> int:
    """Rows of a table along the axis; 1, which any table has, where it is not known."""
    return shape[axis] if shape and -len(shape) <= axis < len(shape) else 1


def _npy(array: Any) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _typed(values: Any, tensor: TensorInfo, shape: Sequence[int], name: str, where: str) -> Any:
    """The values in the type and the shape of the input; UsageError where they do not fit."""
    array = np.asarray(values)
    wanted = "bool" if tensor.kind == _BOOL else INTEGERS.get(tensor.kind) or _FLOATS.get(tensor.kind)
    if tensor.kind == _STRING:
        typed = array.astype(str)
    elif wanted is None or array.dtype.kind not in "biuf":
        raise UsageError(f"{where}: input {name!r} cannot be given values of type {array.dtype}")
    else:
        with np.errstate(all="ignore"):
            typed = array.astype(wanted)
        if np.dtype(wanted).kind != "f" and not np.array_equal(typed, array):
            raise UsageError(
                f"{where}: input {name!r} takes {wanted}; --input gives {array.ravel()[:4].tolist()}"
            )
    if typed.size == 1:
        return typed.reshape(())
    if typed.size != math.prod(shape):
        raise UsageError(
            f"{where}: input {name!r} of {' x '.join(map(str, shape))} takes {math.prod(shape)} numbers or "
            f"one for all; --input gives {typed.size}"
        )
    return typed.reshape(tuple(shape))


def parse_inputs(texts: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE,VALUE`, `NAME=FILE.npz`, `NAME=FILE.npy`, or `FILE.npz` with an array per name."""
    values: dict[str, Any] = {}
    for text in texts:
        name, mark, value = text.rpartition("=")
        if value.endswith((".npz", ".npy")):
            arrays = _arrays(user_path(value), name)
        elif mark and name:
            arrays = {name: _numbers(value, text)}
        else:
            raise UsageError(f"--input must be {_FORMS}, got {text!r}")
        twice = sorted(set(arrays) & set(values))
        if twice:
            raise UsageError(f"--input gives {twice[0]!r} twice")
        values |= arrays
    return values


_FORMS = "NAME=VALUE, NAME=VALUE,VALUE,... or NAME=FILE.npz"


def _numbers(text: str, whole: str) -> Any:
    words = text.split(",")
    if all(word.lower() in ("true", "false") for word in words):
        return np.array([word.lower() == "true" for word in words])
    for kind in (int, float):
        try:
            return np.array([kind(word) for word in words])
        except (ValueError, OverflowError):
            continue
    raise UsageError(f"--input must be {_FORMS} with numbers, true or false, got {whole!r}")


_MOST_BYTES = 2_000_000_000
"""As of a model, into which values are written."""


def _arrays(path: Path, name: str) -> dict[str, Any]:
    """The array of that name, or the only one; all by their names where no name is given."""
    try:
        loaded = np.load(io.BytesIO(read_regular(path, _MOST_BYTES)), allow_pickle=False)
        arrays = dict(loaded) if hasattr(loaded, "files") else {name: loaded}
    except OSError as error:
        raise DamagedFileError(f"--input: {path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # numpy raises whatever its parts raise on damaged bytes
        raise DamagedFileError(f"--input: {path} is no .npz or .npy of numbers: {error}") from None
    if not name and path.suffix == ".npz":
        return arrays
    if name not in arrays and len(arrays) != 1:
        raise UsageError(
            f"--input: {path} has arrays {', '.join(map(repr, arrays))}, and none named {name!r}"
        )
    if not name:
        raise UsageError(f"--input: say which input {path} is for, as NAME={path}")
    return {name: arrays[name] if name in arrays else next(iter(arrays.values()))}
