"""Windows of sensor values from an `.npz` file: `x` of (n, time, channels), `y`, and what else is known."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError, UsageError

from .files import ZIP_ERRORS
from .layout import SPLIT_OF
from .signals import LabelledSignals, SignalSource, as_float32, require_finite, signal_source
from .source import DataRequest

MAX_BYTES = 8_000_000_000
_KNOWN = ("x", "y", "groups", "split", "names")
_EXPECTED = "x of shape (windows, samples, channels) and y with a label, or a row of numbers, for each window"


def open_windows(path: Path, request: DataRequest) -> SignalSource:
    """The windows of the file; nothing in it is run."""
    arrays = _arrays(path)
    x, y = arrays["x"], arrays["y"]
    if x.ndim != 3 or x.dtype.kind not in "fiub" or not x.size:
        raise UsageError(
            f"{path}: x is {x.dtype} of shape {x.shape}; expected numbers, (windows, samples, channels)"
        )
    n = len(x)
    for name in sorted({"y", "groups", "split"} & arrays.keys()):
        rows = len(np.atleast_1d(arrays[name]))
        if rows != n:
            raise UsageError(f"{path}: x has {n} windows and {name} {rows} rows; give one for each")
    values = as_float32(np.ascontiguousarray(x.transpose(0, 2, 1)))
    require_finite(str(path), values)
    columns, cells = _cells(path, y, arrays.get("names"))
    groups = arrays.get("groups")
    return signal_source(
        LabelledSignals(
            name=path.stem,
            values=values,
            names=[f"{index:0{len(str(n - 1))}d}" for index in range(n)],
            columns=columns,
            cells=cells,
            groups=None if groups is None else [str(group) for group in groups.tolist()],
            given=_given(path, arrays.get("split")),
        ),
        request.task,
    )


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays by name, unpickled never."""
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
        if size_bytes > MAX_BYTES:
            raise UsageError(
                f"{path}: unpacks to {size_bytes / 1e9:.1f} GB, at most {MAX_BYTES / 1e9:.0f} GB are read; "
                "give fewer windows, or float16"
            )
        with np.load(path, allow_pickle=False) as loaded:
            lacking = [name for name in ("x", "y") if name not in loaded.files]
            if lacking:
                raise UsageError(
                    f"{path}: no {' and no '.join(lacking)} among {', '.join(loaded.files) or 'no arrays'}; "
                    f"expected {_EXPECTED}"
                )
            return {name: _array(path, loaded, name) for name in _KNOWN if name in loaded.files}
    except ZIP_ERRORS as error:
        raise DamagedFileError(f"{path}: is damaged or no .npz file ({error}); save it again") from None


def _array(path: Path, loaded: Any, name: str) -> npt.NDArray[Any]:
    try:
        array = loaded[name]
    except (ValueError, MemoryError) as error:  # the last: a shape that the file cannot hold
        if "allow_pickle" in str(error):
            raise UsageError(
                f"{path}: {name} is an array of Python objects, which hwnas never loads: they can run code; "
                "save numbers or texts (`x.astype('float32')`, `y.astype('str')`)"
            ) from None
        raise DamagedFileError(f"{path}: {name} cannot be read ({error}); save it again") from None
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of what is no array
        raise DamagedFileError(f"{path}: {name} is no array of numpy; save it again with numpy.savez")
    return array


def _cells(
    path: Path, y: npt.NDArray[Any], names: npt.NDArray[Any] | None
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Labels as text. names: of the classes that y numbers, or of the columns of y."""
    if y.ndim not in (1, 2) or y.dtype.kind not in "fiubU" or not y.size:
        raise UsageError(f"{path}: y is {y.dtype} of shape {y.shape}; expected {_EXPECTED}")
    texts = None if names is None else [str(name) for name in np.atleast_1d(names).tolist()]
    if y.dtype.kind == "U" and (empty := np.flatnonzero((y == "").reshape(len(y), -1).any(axis=1))).size:
        raise UsageError(
            f"{path}: y is empty for {len(empty)} of {len(y)} windows, the first is {empty[0]}; "
            "label them or leave them out"
        )
    if y.dtype.kind == "f" and (gaps := np.flatnonzero(~np.isfinite(y).reshape(len(y), -1).all(axis=1))).size:
        raise DamagedFileError(
            f"{path}: y is no number for {len(gaps)} of {len(y)} windows, the first is {gaps[0]}; "
            "label them or leave them out"
        )
    if y.ndim == 2 or y.dtype.kind == "f":
        rows = y.reshape(len(y), -1)
        columns = tuple(texts or (f"y{j}" for j in range(rows.shape[1])))
        if len(columns) != rows.shape[1]:
            raise UsageError(
                f"{path}: y has {rows.shape[1]} columns and names {len(columns)}; give one for each"
            )
        return columns, [tuple(map(str, row)) for row in rows.tolist()]
    if texts is None or y.dtype.kind == "U":
        width = len(str(int(y.max()))) if y.dtype.kind != "U" else 0
        return ("y",), [(str(value).zfill(width),) for value in y.tolist()]
    if y.min() < 0 or y.max() >= len(texts):
        raise UsageError(
            f"{path}: y numbers the {len(texts)} names from 0 on, and holds {int(y.min())} to {int(y.max())}"
        )
    return ("y",), [(texts[int(value)],) for value in y.tolist()]


def _given(path: Path, split: npt.NDArray[Any] | None) -> npt.NDArray[np.int8] | None:
    if split is None:
        return None
    words = [str(word).lower() for word in split.tolist()]
    unknown = sorted(set(words) - set(SPLIT_OF))
    if unknown:
        raise UsageError(f"{path}: split {unknown[0]!r}; allowed: {', '.join(SPLIT_OF)}")
    return np.array([SPLIT_OF[word] for word in words], np.int8)
