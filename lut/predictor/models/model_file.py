"""A user's ONNX file as bytes that are complete and safe to hand on: one door for all commands.

What comes out holds all its weights, and says in its metadata what is fed to inputs that take more than any
number of a fixed size (`profilers.inputs`), so that it can travel to a device and be run there. Sizes are
fed and not written into the file: a network with a branch by size may have none that fits all sizes. Nothing
of it is executed, and the onnx package is not loaded.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from profilers.graph import OnnxGraph, read_graph
from profilers.protobuf import spans
from targets.errors import DamagedFileError, HwnasError, UsageError, did_you_mean

from .external_data import complete, read_file
from .input_metadata import ASSUMED, with_inputs
from .input_shapes import Shapes, bound_sizes, has_open_batch, has_open_shape
from .input_values import Values, input_entries
from .other_formats import other_format
from .protobuf import edited, field, without

_NODE_NAME, _NODE_ATTRIBUTE = 3, 5


def read_model(path: Path, shapes: Shapes | None = None, values: Values | None = None) -> bytes:
    """The model in the file with external data put into it; its metadata say what its inputs are fed.

    shapes: sizes of all axes by name of the input. values: arrays by name of the input.

    DamagedFileError: no file, no ONNX model, external data missing or outside the file's folder, too large.
    UsageError: inputs of open shape that `shapes` lacks, and shapes and values that do not fit.
    """
    shapes, values = shapes or {}, values or {}
    data = read_file(path)
    if not data:
        raise DamagedFileError(f"{path} is empty; export the model again")
    what = other_format(data)
    if what:
        raise DamagedFileError(f"{path} is not an ONNX model: {what}")
    graph = read_graph(data, str(path))
    if not graph.outputs or not graph.opsets:
        raise DamagedFileError(f"{path} is not a whole ONNX model: no output or no opset; export it again")
    try:
        data, unranked = complete(_named(data, graph), path)
        of_values = {name: array.shape for name, array in values.items() if has_open_shape(graph, name)}
        wanted = {**of_values, **shapes}
        _check_names([*shapes, *values], graph, str(path))
        bound = bound_sizes(graph, wanted, unranked, str(path))
        differing = {name: shape for name, shape in bound.items() if shape != graph.inputs[name].shape}
        differing |= {name: shape for name, shape in bound.items() if 0 in shape}  # what is said of in a note
        entries = input_entries(graph, bound, values, differing, str(path))
        known = {axis for name in wanted for axis in graph.inputs[name].shape}
        for name in bound.keys() - wanted.keys():
            shape = graph.inputs[name].shape
            if has_open_batch(shape) and (not shape[0] or shape[0] not in known):
                entries[name][ASSUMED] = True
        return with_inputs(data, entries)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not an ONNX model: {error}; export it again") from None


def read_models(
    paths: Sequence[Path], shapes: Shapes, values: Values
) -> Iterator[tuple[str, bytes | HwnasError]]:
    """`read_model` for each in turn, or why it cannot be read.

    A shape or a value counts for the models that have the input; UsageError where none has it.
    """
    names = dict.fromkeys((*shapes, *values))
    if len(paths) > 1 and names:
        inputs = {path: _input_names(path) for path in paths}
        for name in names:
            if not any(name in known for known in inputs.values()):
                known = did_you_mean(name, set().union(*inputs.values()))
                raise UsageError(f"none of the models has an input {name!r}; {known}")
    else:
        inputs = {path: set(names) for path in paths}
    return ((str(path), _read_or_why(path, shapes, values, inputs[path])) for path in paths)


def _input_names(path: Path) -> set[str]:
    """Of the inputs; none where the file cannot be read, which is told when it is its turn."""
    try:
        return set(read_graph(read_file(path), str(path)).inputs)
    except HwnasError:
        return set()


def _read_or_why(path: Path, shapes: Shapes, values: Values, inputs: Container[str]) -> bytes | HwnasError:
    try:
        return read_model(
            path,
            {name: shape for name, shape in shapes.items() if name in inputs},
            {name: array for name, array in values.items() if name in inputs},
        )
    except HwnasError as error:
        return error


def _named(data: bytes, graph: OnnxGraph) -> bytes:
    """The model whose nodes have different names, by which a profile tells the branches of an `If` apart."""
    names = [node.name for node in graph.every_node() if node.name]
    if len(set(names)) == len(names):
        return data
    taken: set[str] = set()

    def rename(message: memoryview) -> bytes:
        parts, start, name = [], 0, ""
        for number, value, end in spans(message):
            inner = edited(value, {"node": rename}, "attribute") if number == _NODE_ATTRIBUTE else None
            name = bytes(value).decode() if number == _NODE_NAME else name
            parts.append(message[start:end] if inner is None else field(number, inner))
            start = end
        new = next(
            n for n in (name, *(f"{name}_{i}" for i in range(len(names)))) if not name or n not in taken
        )
        taken.add(new)
        whole = b"".join(parts)
        return (
            whole
            if new == name
            else without(memoryview(whole), (_NODE_NAME,)) + field(_NODE_NAME, new.encode())
        )

    return edited(memoryview(data), {"node": rename}) or data


def _check_names(names: Iterable[str], graph: OnnxGraph, where: str) -> None:
    for name in names:
        if name not in graph.inputs:
            raise UsageError(f"{where} has no input {name!r}; {did_you_mean(name, graph.inputs)}")
