"""Recordings of sensors in one CSV, a row for each moment, cut into windows.

A column names the recording, one may order its rows; one holds the label, one may hold the group and one the
split; all others are channels. Windows of one recording lie in one split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.tasks import Task
from targets.errors import DamagedFileError, UsageError

from .file_source import columns_of
from .layout import SPLIT_OF
from .signals import LabelledSignals, SignalSource, signal_source
from .source import DataRequest
from .table import LABEL_COLUMNS, SPLIT_COLUMNS, column_named, column_of_role, rows_of, told_by_columns

RECORDING_COLUMNS = (
    "recording",
    "recording_id",
    "record",
    "session",
    "session_id",
    "trial",
    "sequence",
    "series",
    "series_id",
    "file",
)
ORDER_COLUMNS = ("time", "t", "timestamp", "time_s", "seconds", "order", "index", "step", "sample")


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Positions. order, group, split: None where there is none. told_by: as that of `table`."""

    recording: int
    order: int | None
    labels: tuple[int, ...]
    group: int | None
    split: int | None
    told_by: tuple[int, ...]
    channels: tuple[int, ...]


def open_recordings(table: Path, request: DataRequest) -> SignalSource:
    """The windows of `request.window` samples, one every `request.hop`."""
    window = request.window
    assert window is not None  # it is what tells this kind of table from one of images
    hop = window if request.hop is None else request.hop
    header, *body = rows_of(table)
    while body and not any(body[-1]):
        body.pop()
    columns = _columns(table, header, request)
    _check_rows(table, body, header, columns, may_be_empty=request.task.many_columns)
    values = np.stack([_numbers(table, body, header, i) for i in columns.channels]).astype(np.float32)
    named = [i for i in columns.told_by if i != columns.group]
    cut = _Cut(table, body, columns, request.task, named)
    longest = 0
    for name, places in _by_recording(table, body, header, columns).items():
        longest = max(longest, len(places))
        cut.add(name, places, values, window, hop)
    if not cut.names:
        raise UsageError(
            f"{table}: no recording has {window} samples, the longest has {longest}; give a smaller --window"
            if longest < window
            else f"{table}: every window of {window} samples has several labels; give a smaller --window"
        )
    return signal_source(
        LabelledSignals(
            name=table.stem,
            values=np.stack(cut.values),
            names=cut.names,
            columns=tuple(header[i] for i in columns.labels),
            cells=cut.cells,
            groups=cut.groups,
            given=None if columns.split is None else np.array(cut.given, np.int8),
            group_noun="recording" if columns.group is None else "group",
            group_column=header[columns.recording if columns.group is None else columns.group],
            told_by=columns_of([header[i] for i in named], cut.told_by),
            notes=cut.notes(window),
            preprocessing=f"windows of {window} samples, one every {hop}, of "
            + ", ".join(header[i] for i in columns.channels),
        ),
        request.task,
    )


def _columns(table: Path, header: Sequence[str], request: DataRequest) -> _Columns:
    labels = [column_named(header, name, table, "--label-column") for name in request.label_columns]
    group = request.group_column
    group_at = None if group is None else column_named(header, group, table, "--group-column")
    told_by = told_by_columns(header, table, group_at, request.report_by)
    used = {*labels, *told_by}
    lower = ["" if index in used else cell.lower() for index, cell in enumerate(header)]
    if not labels and request.task.many_columns:
        raise UsageError(
            f"{table}: which columns of {', '.join(header)} are the labels? Name them with --label-column; "
            "the others are channels"
        )
    recording = column_of_role(lower, "recording", RECORDING_COLUMNS, header, table)
    order = next((i for i, cell in enumerate(lower) if cell in ORDER_COLUMNS), None)
    split = next((i for i, cell in enumerate(lower) if cell in SPLIT_COLUMNS), None)
    if not labels:
        labels = [column_of_role(lower, "label", LABEL_COLUMNS, header, table)]
    if len(labels) > 1 and not request.task.many_columns:
        raise UsageError(
            f"{table}: --label-column names {len(labels)} columns, {request.task.name} learns one"
        )
    taken = {*labels, recording, order, split, *told_by}
    channels = tuple(i for i, cell in enumerate(header) if cell and i not in taken)
    if not channels:
        raise UsageError(f"{table}: no column is left for the values of a sensor among {', '.join(header)}")
    return _Columns(
        recording=recording,
        order=order,
        labels=tuple(labels),
        group=group_at,
        split=split,
        told_by=told_by,
        channels=channels,
    )


def _check_rows(
    table: Path,
    body: Sequence[Sequence[str]],
    header: Sequence[str],
    columns: _Columns,
    *,
    may_be_empty: bool,
) -> None:
    """UsageError that names the first row without as many cells as the header has, or without a label."""
    if not body:
        raise UsageError(f"{table}: no rows; give a row for each moment of each recording")
    for line, row in enumerate(body, start=2):
        if not any(row):
            raise UsageError(f"{table}, row {line}: is empty; remove it, or fill the gap")
        if len(row) < len(header) or any(row[len(header) :]):
            raise UsageError(
                f"{table}, row {line}: {len(row)} cells, and the header has {len(header)}; give one for "
                "each column, numbers with a decimal point"
            )
        if not may_be_empty and not all(row[index] for index in columns.labels):
            raise UsageError(f"{table}, row {line}: the label is empty; fill it or remove the row")


def _numbers(
    table: Path, body: Sequence[Sequence[str]], header: Sequence[str], column: int
) -> npt.NDArray[np.float64]:
    """(rows,); the error names the first cell that is no number."""
    cells = [row[column] for row in body]
    try:
        numbers = np.array(cells, np.float64)
    except ValueError:
        numbers = np.array([_number(cell) for cell in cells])
    bad = np.flatnonzero(~(np.abs(numbers) <= np.finfo(np.float32).max))
    if len(bad):
        place = int(bad[0])
        raise DamagedFileError(
            f"{table}, row {place + 2}: {header[column]} is {cells[place]!r}, which is no number up to "
            f"3.4e38 ({len(bad)} such cells); fill the gaps, or remove the column"
        )
    return numbers


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _by_recording(
    table: Path, body: Sequence[Sequence[str]], header: Sequence[str], columns: _Columns
) -> dict[str, npt.NDArray[np.int64]]:
    """The rows of each recording in their order."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(body):
        if not row[columns.recording]:
            raise UsageError(f"{table}, row {place + 2}: the recording is empty; fill it or remove the row")
        places.setdefault(row[columns.recording], []).append(place)
    found = {name: np.array(rows, np.int64) for name, rows in places.items()}
    if columns.order is None:
        return found
    times = _numbers(table, body, header, columns.order)
    return {name: rows[np.argsort(times[rows], kind="stable")] for name, rows in found.items()}


class _Cut:
    """The windows so far."""

    def __init__(
        self,
        table: Path,
        body: Sequence[Sequence[str]],
        columns: _Columns,
        task: Task,
        told_by: Sequence[int],
    ) -> None:
        self._table, self._body, self._columns, self._told_by = table, body, columns, told_by
        self._averages = task.readable.reading == "values"
        self._too_short, self._mixed = 0, 0
        self.values: list[npt.NDArray[np.float32]] = []
        self.names: list[str] = []
        self.cells: list[tuple[str, ...]] = []
        self.groups: list[str] = []
        self.told_by: list[tuple[str, ...]] = []
        self.given: list[int] = []

    def add(
        self, name: str, places: npt.NDArray[np.int64], values: npt.NDArray[np.float32], window: int, hop: int
    ) -> None:
        """Cut a recording. values: (c, rows) of the table."""
        c = self._columns
        split = self._same(name, places, c.split, "split")
        group = name if c.group is None else self._same(name, places, c.group, "group")
        if split is not None and split.lower() not in SPLIT_OF:
            raise UsageError(
                f"{self._table}: split {split!r} of recording {name}; allowed: {', '.join(SPLIT_OF)}"
            )
        self._too_short += len(places) < window
        for start in range(0, len(places) - window + 1, hop):
            rows = places[start : start + window]
            cells = self._label(rows)
            if cells is None:
                self._mixed += 1
                continue
            self.values.append(values[:, rows])
            self.names.append(f"{name}@{start}")
            self.cells.append(cells)
            self.groups.append(str(group))
            self.told_by.append(tuple(self._body[rows[0]][i] for i in self._told_by))
            self.given.append(0 if split is None else SPLIT_OF[split.lower()])

    def _label(self, rows: npt.NDArray[np.int64]) -> tuple[str, ...] | None:
        """Of a window: the one that all its rows have, or the mean of numbers; None where it changes."""
        texts = [tuple(self._body[row][i] for i in self._columns.labels) for row in rows.tolist()]
        if len(set(texts)) == 1:
            return texts[0]
        if not self._averages:
            return None
        try:
            return tuple(
                str(float(np.mean([float(text[j]) for text in texts]))) for j in range(len(texts[0]))
            )
        except ValueError:
            return next(
                text for text in texts if not all(map(_is_number, text))
            )  # the task says what is wrong

    def _same(self, name: str, places: npt.NDArray[np.int64], column: int | None, what: str) -> str | None:
        if column is None:
            return None
        words: set[str] = {self._body[row][column] for row in places.tolist()}
        if len(words) > 1 or "" in words:
            raise UsageError(
                f"{self._table}: recording {name} has {len(words)} values of the {what} "
                f"({', '.join(sorted(words)[:3])}); give one for all its rows"
            )
        return words.pop()

    def notes(self, window: int) -> tuple[str, ...]:
        """What was left out."""
        told = []
        if self._too_short:
            told.append(f"recordings of fewer than {window} samples are left out: {self._too_short}")
        if self._mixed:
            told.append(f"windows in which the label changes are left out: {self._mixed}")
        return tuple(told)


def _is_number(text: str) -> bool:
    return math.isfinite(_number(text))
