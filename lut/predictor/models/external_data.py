"""The bytes of a model, its external data put into it: nothing outside the model's folder is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from profilers.graph import ELEMENT_BYTES, TensorInfo, read_tensor
from profilers.protobuf import fields
from targets.errors import DamagedFileError

from .protobuf import edited, field, without

MAX_BYTES = (1 << 31) - 1
"""What protobuf, and so onnxruntime, can read at once."""

_DATA_LOCATION, _EXTERNAL_DATA, _RAW_DATA = 14, 13, 9


def read_file(path: Path) -> bytes:
    """All of the file of a model."""
    return _read(path, path, 0, None, MAX_BYTES)


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


def complete(data: bytes, path: Path) -> tuple[bytes, set[str]]:
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
