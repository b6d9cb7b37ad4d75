"""A user's ONNX file as bytes that are complete and safe to hand on: one door for all commands.

What comes out holds all its weights and has a fixed size on every axis of every input, so that it can
travel to a device and be loaded there. Nothing of it is executed, and the onnx package is not loaded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Mapping, Sequence
from pathlib import Path, PurePosixPath

from profilers.graph import ELEMENT_BYTES, OnnxGraph, OpenShape, TensorInfo, fields, read_graph, read_tensor
from targets.errors import DamagedFileError, UsageError, did_you_mean

from .protobuf import edited, field, without

MAX_BYTES = (1 << 31) - 1
"""What protobuf, and so onnxruntime, can read at once."""

Shapes = Mapping[str, Sequence[int]]
"""Sizes of all axes by name of the input."""

_DATA_LOCATION, _EXTERNAL_DATA, _RAW_DATA = 14, 13, 9
_SIGNS = {
    b"\x80": "it looks like a Python pickle, which is not opened because it can run code",
    b"PK\x03\x04": "it is a zip archive, as torch.save writes them",
    b"\x89HDF": "it is an HDF5 file, as Keras writes them",
}
"""How other files begin."""


def read_model(path: Path, shapes: Shapes | None = None) -> bytes:
    """The model in the file with external data put into it and `shapes` given to its inputs.

    DamagedFileError: no file, no ONNX model, external data missing or outside the file's folder, too large.
    UsageError: inputs of open shape that `shapes` lacks, and shapes that do not fit.
    """
    data = _read(path, path, 0, None, MAX_BYTES)
    if not data:
        raise DamagedFileError(f"{path} is empty; export the model again")
    what = next((what for sign, what in _SIGNS.items() if data.startswith(sign)), "")
    if what:
        raise DamagedFileError(f"{path} is not an ONNX model: {what}; export it to ONNX")
    graph = read_graph(data, str(path))
    if not graph.outputs or not graph.opsets:
        raise DamagedFileError(f"{path} is not a whole ONNX model: no output or no opset; export it again")
    try:
        data, unranked = _complete(data, path)
        return _fixed(data, graph, shapes or {}, unranked, str(path))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not an ONNX model: {error}; export it again") from None


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


def _fixed(data: bytes, graph: OnnxGraph, shapes: Shapes, unranked: Container[str], where: str) -> bytes:
    """The model with these shapes on its inputs; axes that share a name share the size."""
    unknown = [name for name in shapes if name not in graph.inputs]
    if unknown:
        raise UsageError(f"{where} has no input {unknown[0]!r}; {did_you_mean(unknown[0], graph.inputs)}")
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        _bind(graph.inputs[name], name, shape, sizes, where)
    new: dict[str, OpenShape] = {}
    for name, tensor in graph.inputs.items():
        bound = tuple(sizes.get(n, n) if isinstance(n, str) else n for n in tensor.shape)
        wanted = tuple(shapes[name]) if name in shapes else bound
        if not all(isinstance(n, int) and n > 0 for n in wanted) or (name in unranked and name not in shapes):
            axes = "any number of axes" if name in unranked else ", ".join(map(_axis, wanted))
            raise UsageError(
                f"{where}: input {name!r} has an open shape ({axes}); give its sizes, for example "
                f"--shape {name}={_example(wanted)}"
            )
        if wanted != tensor.shape:
            new[name] = wanted
    if not new:
        return data
    return edited(memoryview(data), {"input": lambda info: _shaped(info, new), "node": _unchanged}) or data


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
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or not file.is_relative_to(folder):
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
