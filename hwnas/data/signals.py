"""A source whose samples are windows of signals that lie in memory, whatever they were read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.core.samples import WINDOW, SampleKind
from hwnas.tasks import LabelTable, Task
from targets.errors import DamagedFileError, UsageError

from .columns import Column
from .source import TRAIN, Listing

SignalArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SignalSource:
    """values: (n, c, t)."""

    listing: Listing
    values: SignalArray

    def natural_size(self) -> int:
        """The length of all of them."""
        return int(self.values.shape[2])

    def read(self, index: int, image_size: int) -> SignalArray:
        """(c, 1, t)."""
        window: SignalArray = self.values[index][:, None]
        return window

    def content_key(self, index: int) -> bytes:
        """The values themselves."""
        window: SignalArray = self.values[index]
        return window.tobytes()


@dataclass(frozen=True, kw_only=True)
class LabelledSignals:
    """Windows and what is known of each, in order.

    values: (n, c, t). names: unique. columns, cells: of the labels, as text.
    groups: windows of one group lie in one split; None where nothing is known.
    told_by: columns by which results are told apart, besides that of the groups.
    given: (n,) indices into SPLITS; None where there are no splits.
    group_noun: what a group is, for messages. group_column: the name of what tells groups; that noun where it
        has none.
    """

    name: str
    values: SignalArray
    names: Sequence[str]
    columns: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]
    groups: Sequence[str] | None = None
    told_by: tuple[Column, ...] = ()
    given: npt.NDArray[np.int8] | None = None
    group_noun: str = "group"
    group_column: str = ""
    notes: tuple[str, ...] = ()
    preprocessing: str = "windows as they are"
    kind: SampleKind = WINDOW


def signal_source(windows: LabelledSignals, task: Task) -> SignalSource:
    """The source; UsageError where the task cannot learn from it."""
    if task.columns:
        raise UsageError(
            f"{windows.name}: several tasks at once are learned from images so far, and these are "
            f"{windows.kind.plural}; give one of them as --task"
        )
    labels = task.read(LabelTable(windows.name, windows.columns, list(windows.cells), list(windows.names)))
    n, channels, length = windows.values.shape
    given = np.full(n, TRAIN, np.int8) if windows.given is None else windows.given
    groups, told_by = None, windows.told_by
    if windows.groups is not None:
        _, groups = np.unique(np.array(windows.groups), return_inverse=True)
        told_by = (Column.of(windows.group_column or windows.group_noun, windows.groups), *told_by)
        if (given == TRAIN).all() and labels.values.dtype.kind == "i":
            _require_groups(windows, labels.names, labels.values, groups)
    listing = Listing(
        name=windows.name,
        class_names=labels.names,
        in_channels=channels,
        flip=False,
        names=tuple(windows.names),
        labels=labels.values,
        given=given,
        sizes_bytes=np.full(n, 4 * channels * length, np.int64),
        notes=windows.notes,
        centred=False,
        task=task,
        groups=None if groups is None else groups.astype(np.int64),
        columns=told_by,
        kind=windows.kind,
        preprocessing=windows.preprocessing,
    )
    return SignalSource(listing, windows.values)


_FEWEST_GROUPS = 3
"""Of a class: one to train on, one to validate, one to test."""


def _require_groups(
    windows: LabelledSignals,
    names: Sequence[str],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.intp],
) -> None:
    noun = windows.group_noun
    few = {
        name: n
        for label, name in enumerate(names)
        if (n := len(np.unique(groups[labels == label]))) < _FEWEST_GROUPS
    }
    if few:
        told = ", ".join(f"{name} ({n})" for name, n in list(few.items())[:5])
        raise UsageError(
            f"{windows.name}: too few {noun}s of the classes {told}; windows of one {noun} lie in one "
            f"split, so each class needs at least {_FEWEST_GROUPS}: add {noun}s, or say the splits"
        )


def as_float32(values: npt.NDArray[Any]) -> SignalArray:
    """The values as networks take them; those that are too large become infinite."""
    with np.errstate(over="ignore"):
        converted: SignalArray = values.astype(np.float32)
    return converted


def require_finite(where: str, values: npt.NDArray[np.generic], what: str = "window") -> None:
    """DamagedFileError that names the first window, (n, c, t), with a value that is no number."""
    bad = ~np.isfinite(values)
    if bad.any():
        index, channel, time = (int(place[0]) for place in np.nonzero(bad))
        n = int(bad.any(axis=(1, 2)).sum())
        raise DamagedFileError(
            f"{where}: {n} of {len(values)} {what}s have values that are no numbers or beyond 3.4e38, "
            f"the first in {what} {index}, channel {channel}, at {time}; fill the gaps or remove them"
        )
