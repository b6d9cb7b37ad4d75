"""A user's ONNX file as bytes that are complete and safe to hand on: one door for all commands.

What comes out holds all its weights, and says in its metadata what is fed to inputs that take more than any
number of a fixed size (`profilers.inputs`), so that it can travel to a device and be run there. Sizes are
fed and not written into the file: a network with a branch by size may have none that fits all sizes. Nothing
of it is executed, and the onnx package is not loaded.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from profilers.graph import (
    ELEMENT_BYTES,
    OnnxGraph,
    OpenShape,
    TensorInfo,
    fields,
    read_graph,
    read_tensor,
    spans,
)
from targets.errors import DamagedFileError, HwnasError, UsageError, did_you_mean

from .input_values import Values, input_entries
from .protobuf import edited, field, without

MAX_BYTES = (1 << 31) - 1
"""What protobuf, and so onnxruntime, can read at once."""

Shapes = Mapping[str, Sequence[int]]
"""Sizes of all axes by name of the input."""

ASSUMED = "assumed"
"""In the metadata of an input whose open first axis is taken as 1."""

_LENGTHS = ("seq", "len", "time", "frame", "token", "word", "step", "point", "sample", "node", "edge", "box")
"""In names of axes that are how long, and not how many."""

METADATA = "hwnas.inputs"
"""Key of the metadata; `profilers.inputs` reads it (there onnxruntime is loaded, here it is not)."""

_METADATA_PROPS, _NODE_NAME, _NODE_ATTRIBUTE = 14, 3, 5
_DATA_LOCATION, _EXTERNAL_DATA, _RAW_DATA = 14, 13, 9
_SIGNS = {
    b"version https://git-lfs": "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<": "it is a web page or XML, as a failed download leaves; download the file again",
    b"\x1f\x8b": "it is packed with gzip; unpack it with `gunzip`",
    b"BZh": "it is packed with bzip2; unpack it with `bunzip2`",
    b"\xfd7zXZ": "it is packed with xz; unpack it with `unxz`",
    b"\x28\xb5\x2f\xfd": "it is packed with zstd; unpack it with `unzstd`",
    b"\x80": "it looks like a Python pickle, which is not opened because it can run code; export it to ONNX",
    b"PK\x03\x04": "it is a zip archive, as torch.save writes them; export it to ONNX",
    b"\x89HDF": "it is an HDF5 file, as Keras writes them; export it to ONNX",
    b"GGUF": "it is a GGUF file, as llama.cpp reads them; export it to ONNX",
}
"""How other files begin."""


_INNER_SIGNS = {
    b"ORTM": (4, "it is in onnxruntime's own format ORT; give the ONNX file that it was made from"),
    b"TFL3": (4, "it is a TensorFlow Lite file; export it to ONNX"),
    b'{"': (8, "it is a safetensors file, which holds weights and no graph; export the network to ONNX"),
}
"""Signs that stand further on: the byte at which they do."""


def read_model(path: Path, shapes: Shapes | None = None, values: Values | None = None) -> bytes:
    """The model in the file with external data put into it; its metadata say what its inputs are fed.

    shapes: sizes of all axes by name of the input. values: arrays by name of the input.

    DamagedFileError: no file, no ONNX model, external data missing or outside the file's folder, too large.
    UsageError: inputs of open shape that `shapes` lacks, and shapes and values that do not fit.
    """
    data = _read(path, path, 0, None, MAX_BYTES)
    if not data:
        raise DamagedFileError(f"{path} is empty; export the model again")
    what = _other_format(data)
    if what:
        raise DamagedFileError(f"{path} is not an ONNX model: {what}")
    graph = read_graph(data, str(path))
    if not graph.outputs or not graph.opsets:
        raise DamagedFileError(f"{path} is not a whole ONNX model: no output or no opset; export it again")
    try:
        data, unranked = _complete(_named(data, graph), path)
        given = {**{name: array.shape for name, array in (values or {}).items()}, **(shapes or {})}
        given = {name: shape for name, shape in given.items() if name in (shapes or {}) or _open(graph, name)}
        _check_names([*(shapes or {}), *(values or {})], graph, str(path))
        bound = _bound(graph, given, unranked, str(path))
        differing = {name: shape for name, shape in bound.items() if shape != graph.inputs[name].shape}
        entries = input_entries(graph, bound, values or {}, differing, str(path))
        known = {axis for name in given for axis in graph.inputs[name].shape}
        for name in bound.keys() - given.keys():
            shape = graph.inputs[name].shape
            if _open_batch(shape) and (not shape[0] or shape[0] not in known):
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
        return set(read_graph(_read(path, path, 0, None, MAX_BYTES), str(path)).inputs)
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


def inputs_of(data: bytes) -> dict[str, Any]:
    """What the metadata of a model say of its inputs, by name."""
    for number, value in fields(memoryview(data)):
        if number == _METADATA_PROPS:
            entry = dict(fields(value))
            if bytes(entry.get(1, b"")) == METADATA.encode():
                return dict(json.loads(bytes(entry.get(2, b""))))
    return {}


def fed_notes(data: bytes) -> list[str]:
    """What is fed to inputs whose sizes or numbers are a guess, in a line each; [] where there are none."""
    notes = []
    assumed = {name: entry["shape"] for name, entry in inputs_of(data).items() if entry.get(ASSUMED)}
    if assumed:
        name, shape = next(iter(assumed.items()))
        another = ",".join(map(str, (8, *shape[1:])))
        notes.append(f"an open batch is taken as 1; for another give --shape {name}={another}")
    guessed = {name: entry for name, entry in inputs_of(data).items() if entry.keys() & {"low", "values"}}
    if not guessed:
        return notes
    parts = []
    for name, entry in guessed.items():
        numbers = (
            " ".join(map(str, entry["values"][:4]))
            if "values" in entry
            else f"{entry['low']} to {entry['high']}"
        )
        parts.append(f"{name} {numbers}")
    notes.append(
        f"fed {', '.join(parts)}; if other numbers lead elsewhere, give them with --input NAME=VALUE"
    )
    return notes


def with_inputs(data: bytes, entries: Mapping[str, Any]) -> bytes:
    """The model whose metadata say this of its inputs, and nothing else."""
    if inputs_of(data):
        parts, start = [], 0
        for number, value, end in spans(memoryview(data)):
            if number != _METADATA_PROPS or bytes(dict(fields(value)).get(1, b"")) != METADATA.encode():
                parts.append(data[start:end])
            start = end
        data = b"".join(parts)
    if not entries:
        return data
    text = json.dumps(entries, separators=(",", ":")).encode()
    return data + field(_METADATA_PROPS, field(1, METADATA.encode()) + field(2, text))


def fixed(data: bytes) -> bytes:
    """The model with the sizes of its metadata written into its inputs, for a runtime that reads none."""
    new = {name: tuple(entry["shape"]) for name, entry in inputs_of(data).items() if "shape" in entry}
    if not new:
        return data
    return edited(memoryview(data), {"input": lambda info: _shaped(info, new), "node": _unchanged}) or data


def _other_format(data: bytes) -> str:
    """What a file of another format is, and what to do; empty where nothing is known of it."""
    head = data[:64]
    inner = [what for sign, (at, what) in _INNER_SIGNS.items() if head[at:].startswith(sign)]
    signed = [what for sign, what in _SIGNS.items() if head.lstrip().startswith(sign)]
    return next(iter([*signed, *inner, *([_TEXT] if _is_text(data) else [])]), "")


def _is_text(data: bytes) -> bool:
    """Whether all that it begins with can be read; a protobuf message has other bytes among its first."""
    return not data[:1000].translate(None, _READABLE)


_READABLE = bytes([9, 10, 13, *range(32, 127)])
_TEXT = "it is a text file; give the ONNX file that the network was exported to"


def _open(graph: OnnxGraph, name: str) -> bool:
    return name in graph.inputs and not all(isinstance(n, int) and n > 0 for n in graph.inputs[name].shape)


def _check_names(names: Iterable[str], graph: OnnxGraph, where: str) -> None:
    for name in names:
        if name not in graph.inputs:
            raise UsageError(f"{where} has no input {name!r}; {did_you_mean(name, graph.inputs)}")


def _bound(
    graph: OnnxGraph, shapes: Shapes, unranked: Container[str], where: str
) -> dict[str, tuple[int, ...]]:
    """The sizes of all inputs; axes that share a name share the size."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        _bind(graph.inputs[name], name, shape, sizes, where)
    for name, tensor in graph.inputs.items():
        if name not in shapes and _open_batch(tensor.shape) and isinstance(tensor.shape[0], str):
            sizes.setdefault(tensor.shape[0], 1)  # other inputs may share the axis
    bound: dict[str, tuple[int, ...]] = {}
    for name, tensor in graph.inputs.items():
        filled = tuple(sizes.get(n, n) if isinstance(n, str) and n else n for n in tensor.shape)
        if _open_batch(filled):
            filled = (1, *filled[1:])
        wanted = tuple(shapes[name]) if name in shapes else filled
        sized = tuple(n for n in wanted if isinstance(n, int) and n > 0)
        if len(sized) < len(wanted) or (name in unranked and name not in shapes):
            axes = "any number of axes" if name in unranked else ", ".join(map(_axis, wanted))
            raise UsageError(
                f"{where}: input {name!r} has an open shape ({axes}); give its sizes, for example "
                f"--shape {name}={_example(wanted)}"
            )
        bound[name] = sized
    return bound


def _open_batch(shape: OpenShape) -> bool:
    """Whether only the first axis is open, and its name speaks of no length: then it is how many at once."""
    rest = [n for n in shape[1:] if isinstance(n, int) and n > 0]
    first = shape[0] if shape else 1
    if len(shape) < 2 or len(rest) < len(shape) - 1 or (isinstance(first, int) and first > 0):
        return False
    return not any(word in str(first).lower() for word in _LENGTHS)


def _bind(tensor: TensorInfo, name: str, shape: Sequence[int], sizes: dict[str, int], where: str) -> None:
    """Check a given shape against the file's; what its named axes are goes into `sizes`."""
    if tensor.shape and len(tensor.shape) != len(shape):
        raise UsageError(
            f"{where}: input {name!r} has {len(tensor.shape)} axes ({', '.join(map(_axis, tensor.shape))}), "
            f"--shape gives {len(shape)}"
        )
    for axis, size in zip(tensor.shape, shape, strict=False):
        if (isinstance(axis, int) and axis > 0 and axis != size) or sizes.get(str(axis), size) != size:
            other = sizes.get(str(axis), axis)
            raise UsageError(
                f"{where}: axis {_axis(axis)} of input {name!r} is {other} already, --shape gives {size}"
            )
        if isinstance(axis, str) and axis:
            sizes[axis] = size


def _axis(size: int | str | None) -> str:
    return str(size) if size not in (None, "", 0, -1) else "?"


def _example(shape: OpenShape) -> str:
    """A batch of one; images of 224 pixels, texts of 128 words."""
    likely = [1, 3, 224, 224] if len(shape) in (0, 4) else [1, *[128] * (len(shape) - 1)]
    known = [n if isinstance(n, int) and n > 0 else likely[i] for i, n in enumerate(shape)]
    return ",".join(map(str, known or likely))


def _unchanged(_: memoryview) -> None:
    return None


def _shaped(info: memoryview, shapes: Mapping[str, OpenShape]) -> bytes | None:
    """A ValueInfoProto with the shape that `shapes` has for its name."""
    values = dict(fields(info))
    name = bytes(values.get(1, b"")).decode()
    if name not in shapes:
        return None
    tensor = dict(fields(values[2]))[1]
    axes = b"".join(field(1, field(1, int(size or 0))) for size in shapes[name])
    kind = field(1, without(tensor, (2,)) + field(2, axes))
    return without(info, (2,)) + field(2, without(values[2], (1,)) + kind)


def _complete(data: bytes, path: Path) -> tuple[bytes, set[str]]:
    """(the model with its external data in it, names of inputs without any number of axes)."""
    room = MAX_BYTES - len(data)
    unranked = set()

    def embed(message: memoryview) -> bytes | None:
        nonlocal room
        _, tensor = read_tensor(message)
        if not tensor.external:
            return None
        raw = _external(message, tensor, path, room)
        room -= len(raw)
        return without(message, (_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION)) + field(_RAW_DATA, raw)

    def look(info: memoryview) -> None:
        values = dict(fields(info))
        kind = dict(fields(values.get(2, memoryview(b""))))
        if 1 in kind and 2 not in dict(fields(kind[1])):
            unranked.add(bytes(values.get(1, b"")).decode())

    return edited(memoryview(data), {"tensor": embed, "input": look}) or data, unranked


def _external(message: memoryview, tensor: TensorInfo, path: Path, room: int) -> bytes:
    """The bytes that a tensor keeps in another file, which must lie in the folder of the model."""
    entries = {}
    for number, value in fields(message):
        if number == _EXTERNAL_DATA:
            entry = dict(fields(value))
            entries[bytes(entry.get(1, b"")).decode()] = bytes(entry.get(2, b"")).decode()
    location = entries.get("location", "")
    place = f"{path}: external data {location!r}"
    parts = PurePosixPath(location.replace("\\", "/")).parts
    # A model hub's cache links both files to a folder of contents: data beside either model is read.
    folders = {path.parent.resolve(), path.resolve().parent}
    file = (path.parent / location).resolve()
    inside = any(file.is_relative_to(folder) for folder in folders)
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or not inside:
        raise DamagedFileError(
            f"{place} lies outside the folder of the model, where nothing is read; copy it beside the model"
        )
    size = tensor.size_bytes if tensor.kind in ELEMENT_BYTES else None  # none: less than a byte per element
    offset, length = (
        int(entries.get("offset", "0")),
        int(entries.get("length", size if size is not None else -1)),
    )
    if offset < 0 or length < -1 or (size is not None and length != size):
        raise DamagedFileError(f"{place} has a wrong offset or length; export the model again")
    return _read(path, file, offset, None if length < 0 else length, room)


def _read(model: Path, path: Path, offset: int, size: int | None, room: int) -> bytes:
    """`size` bytes of a regular file, or all from `offset`; a device or a pipe is not waited for."""
    what = str(model) if path == model else f"{model}: external data {path.name!r}"
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedFileError(f"{what} is no regular file; give the path of an ONNX file")
            n = max(status.st_size - offset, 0) if size is None else size
            if n > room:
                raise DamagedFileError(f"{what} makes the model larger than the 2 GB of an ONNX file")
            if offset + n > status.st_size:
                raise DamagedFileError(f"{what} ends too early; copy or export it again")
            file.seek(offset)
            return file.read(n)
    except IsADirectoryError:
        raise DamagedFileError(f"{what} is a folder; give the path of an ONNX file") from None
    except OSError as error:
        raise DamagedFileError(f"{what} cannot be read: {error.strerror}") from None
