"""What a column says of the samples besides their labels, as who or what was taken, where, by which device.

Results are told apart by the values of columns; nothing is learned from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

EMPTY = "(empty)"
"""The value of a cell without one."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A value of each sample.

    name: of the column. values: (n,) indices into `names`, its different values in order.

    >>> Column.of("camera", ["b", "a", "b"]).values.tolist()
    [1, 0, 1]
    """

    name: str
    names: tuple[str, ...]
    values: npt.NDArray[np.int64]

    @classmethod
    def of(cls, name: str, cells: Sequence[str]) -> Column:
        """From the cells of all samples."""
        names, values = np.unique(np.array([cell or EMPTY for cell in cells]), return_inverse=True)
        return cls(name, tuple(map(str, names.tolist())), values.reshape(-1).astype(np.int64))

    def at(self, places: npt.NDArray[np.int64]) -> Column:
        """The same of the samples at these places."""
        return replace(self, values=self.values[places])
