"""Whole numbers that are found once, and kept in the data home."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError
from targets.files import write_atomic


def kept_array(
    path: Path, shape: tuple[int, ...], make: Callable[[], npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """The array in the file, where one of that shape is there, else the one that is made and written to it.

    Without space the next run makes it again.
    """
    with suppress(OSError, ValueError):
        known: npt.NDArray[np.int64] = np.load(path, allow_pickle=False)
        if known.shape == shape and known.dtype == np.int64:
            return known
    array = make()
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with suppress(OSError, DamagedFileError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    return array
