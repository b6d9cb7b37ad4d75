"""Features that are given to a search, beside those that the space states: each is asked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array
from targets.errors import HwnasError

from .catalogue import Catalogue, Rows, ScaledColumns
from .gp import Inputs

if TYPE_CHECKING:
    from hwnas.front.strategy import FeaturesOf

_SCALED_BY = 20
"""Random architectures that set the scale of the columns."""


class Extras:
    """The columns of `features_of`, as one more group of the kernel.

    sample: rows of random architectures, the first of which set the scale.
    """

    def __init__(self, catalogue: Catalogue, features_of: FeaturesOf, sample: Callable[[], Rows]) -> None:
        self._catalogue, self._features_of, self._sample = catalogue, features_of, sample
        self._known: dict[int, Array] = {}
        self._scaled: ScaledColumns | None = None

    def inputs(self, rows: Rows) -> Inputs:
        """The features of rows, those of the catalogue first."""
        if self._scaled is None:
            sample = self._sample()
            self._scaled = ScaledColumns(
                self._columns(sample[self._catalogue.trainable[sample]][:_SCALED_BY])
            )
        own = self._catalogue.inputs(rows)
        return Inputs((*own.groups, self._scaled.scaled(self._columns(rows))))

    def _columns(self, rows: Rows) -> Array:
        """As given, (n, columns); an architecture is asked once."""
        numbers = rows.tolist()
        new = [row for row in dict.fromkeys(numbers) if row not in self._known]
        if new:
            archs = [self._catalogue.archs[row] for row in new]
            columns = np.asarray(self._features_of(archs), dtype=np.float64)
            if columns.ndim != 2 or len(columns) != len(new):
                raise HwnasError(
                    f"the features of {len(new)} architectures came as an array of shape {columns.shape}; it "
                    f"must have one row per architecture"
                )
            if not np.isfinite(columns).all():
                bad = int(np.flatnonzero(~np.isfinite(columns).all(axis=1))[0])
                key = self._catalogue.space.key(archs[bad])
                raise HwnasError(
                    f"the features of architecture {key} are {columns[bad].tolist()}, not finite"
                )
            self._known.update(zip(new, columns, strict=True))
        return np.array([self._known[row] for row in numbers])
