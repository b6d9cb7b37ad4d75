"""A CSV of file names and labels (and splits and groups, if it has them) beside a folder or zip of images."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from hwnas.tasks import CLASSIFICATION, Task
from targets.errors import DamagedFileError, UsageError, did_you_mean

from .file_source import FileSource, file_source
from .files import Files, open_files
from .layout import SPLIT_OF, Placed, ignored_note, is_image
from .source import TRAIN

_FILE_COLUMNS = (
    "file", "filename", "file_name", "image", "path", "imagename", "image_id", "image_name", "image_path",
    "img", "img_path", "filepath", "file_path", "id_code", "id", "name",
)  # fmt: skip
_SURE = _FILE_COLUMNS[:6]
"""Of several that are there, the one that is meant."""
LABEL_COLUMNS = (
    "label",
    "class",
    "category",
    "target",
    "labels",
    "class_name",
    "class_id",
    "diagnosis",
    "breed",
    "species",
)
_MASK_COLUMNS = ("mask", "masks", "mask_path", "mask_file", "segmentation", "label", "annotation")
SPLIT_COLUMNS = ("split",)
_MAX_CSV_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class _Columns:
    """Positions of the columns.

    split, group: None where there is none. told_by: those by which results are told apart, that of the group
    first. may_be_empty: whether the task reads empty labels.
    """

    file: int
    labels: tuple[int, ...]
    split: int | None
    group: int | None
    told_by: tuple[int, ...]
    may_be_empty: bool

    @property
    def last(self) -> int:
        return max(self.file, *self.labels, self.split or 0, *self.told_by)


def open_table(
    table: Path,
    images: Path,
    task: Task = CLASSIFICATION,
    label_columns: Sequence[str] = (),
    group_column: str | None = None,
    report_by: Sequence[str] = (),
) -> FileSource:
    """The images that `table` lists, found below the folder or zip `images`.

    label_columns: what the task learns; empty for the column named label or the like, or, for a task with a
        column per output, all columns that are nothing else.
    group_column: samples with one value of it lie in one split.
    report_by: columns by whose values results are told apart.
    """
    rows = read_table(table, images, task, label_columns, group_column, report_by)
    files = rows.files
    listed = {item.path for item in rows.placed}
    rest = [path for path in files.paths if path not in listed and is_image(path)]
    notes = ignored_note(rest, f"not in {table.name}") + ignored_note(files.refused, files.why_refused)
    return file_source(table.stem, files, rows.placed, notes, task, rows.columns, rows.told_by)


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a table, the files that they name, and the names of the columns that are used.

    columns: of labels. told_by: by which results are told apart.
    """

    placed: Sequence[Placed]
    files: Files
    columns: tuple[str, ...]
    told_by: tuple[str, ...]


def read_table(
    table: Path,
    images: Path,
    task: Task,
    label_columns: Sequence[str],
    group_column: str | None,
    report_by: Sequence[str],
) -> TableRows:
    """What `table` says of the images below the folder or zip `images`; the arguments are `open_table`'s."""
    rows = read_rows(table)
    files = open_files(images)
    columns = _columns(rows[0], table, task, label_columns, group_column, report_by)
    placed = [_place(row, line, columns, table) for line, row in enumerate(rows[1:], start=2) if any(row)]
    if not placed:
        raise UsageError(f"{table}: has a header but no rows; list one image per row")
    placed = _with_suffixes(placed, files.paths)
    _check_rows(placed, set(files.paths), table, files.where)
    names = (tuple(rows[0][index] for index in places) for places in (columns.labels, columns.told_by))
    return TableRows(placed, files, *names)


def read_rows(table: Path) -> list[list[str]]:
    """The cells of a CSV, header first; UsageError or DamagedFileError where there are none."""
    if not table.is_file():
        what = "is no file" if table.exists() else "does not exist"
        raise UsageError(f"{table} {what}; give a .csv with the columns file and label")
    if table.stat().st_size > _MAX_CSV_BYTES:
        raise UsageError(f"{table}: larger than {_MAX_CSV_BYTES / 1e6:.0f} MB")
    try:
        text = table.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        delimiter = max(",;\t", key=first.count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DamagedFileError(f"{table}: cannot be read as UTF-8 CSV ({error}); save it again") from None
    rows = [[cell.strip() for cell in row] for row in rows]
    if not rows or not any(rows[0]):
        raise UsageError(f"{table}: is empty; the first row must name the columns file and label")
    return rows


def _columns(
    header: Sequence[str],
    table: Path,
    task: Task,
    label_columns: Sequence[str],
    group_column: str | None,
    report_by: Sequence[str],
) -> _Columns:
    """Positions of the file, label and (if present) split and group columns."""
    twice = [name for name, n in Counter(filter(None, header)).items() if n > 1]
    if twice:
        raise UsageError(f"{table}: more than one column is named {', '.join(twice)}; rename or remove one")
    option = "--label-column" if label_columns else "--task"
    named = [column_named(header, name, table, option) for name in label_columns or task.columns]
    group = None if group_column is None else column_named(header, group_column, table, "--group-column")
    told_by = told_by_columns(header, table, group, report_by)
    taken = {*named, *(i for i in told_by if header[i].lower() not in SPLIT_COLUMNS)}
    lower = ["" if index in taken else cell.lower() for index, cell in enumerate(header)]
    file = column_of_role(lower, "file", _FILE_COLUMNS, header, table)
    split = next((index for index, cell in enumerate(lower) if cell in SPLIT_COLUMNS), None)
    if named:
        labels = tuple(named)
    elif task.many_columns:
        used = {file, split, *told_by}
        labels = tuple(index for index, cell in enumerate(header) if cell and index not in used)
        if not labels:
            raise UsageError(
                f"{table}: no column beside {', '.join(header)}; {task.name} needs one column per output"
            )
    else:
        role, names = ("mask", _MASK_COLUMNS) if task.planes else ("label", LABEL_COLUMNS)
        labels = (column_of_role(lower, role, names, header, table),)
    if len(labels) > 1 and not task.many_columns:
        raise UsageError(f"{table}: --label-column names {len(labels)} columns, {task.name} learns one")
    if len(set(labels)) < len(labels):
        raise UsageError(f"{table}: --label-column names a column twice; name each once")
    return _Columns(file, labels, split, group, told_by, may_be_empty=task.many_columns)


def told_by_columns(
    header: Sequence[str], table: Path, group: int | None, report_by: Sequence[str]
) -> tuple[int, ...]:
    """Places of the columns by which results are told apart: that of the group, then the named ones."""
    named = [column_named(header, name, table, "--report-by") for name in report_by]
    return tuple(dict.fromkeys([*([] if group is None else [group]), *named]))


def column_of_role(
    lower: Sequence[str], role: str, names: Sequence[str], header: Sequence[str], table: Path
) -> int:
    """The one column that can play the role."""
    here = [index for index, cell in enumerate(lower) if cell in names]
    if role == "file" and len(here) > 1 and sum(lower[index] in _SURE for index in here) == 1:
        here = [index for index in here if lower[index] in _SURE]
    if len(here) > 1:
        choices = ", ".join(lower[index] for index in here)
        named = role not in ("file", "recording")
        hint = "keep one, or name it with --label-column" if named else "keep one"
        raise UsageError(f"{table}: {len(here)} columns could be the {role}: {choices}; {hint}")
    if not here:
        hint = {
            "file": " (of recordings of sensors, give --window too)",
            "recording": "",
        }.get(role, ", or give --label-column")
        raise UsageError(
            f"{table}: no {role} column among {', '.join(header)!r}; name it one of {', '.join(names)}{hint}"
        )
    return here[0]


def column_named(header: Sequence[str], name: str, table: Path, option: str) -> int:
    """The column of that name; upper and lower case count only where there are both."""
    for here in (
        [index for index, cell in enumerate(header) if cell == name],
        [index for index, cell in enumerate(header) if cell.lower() == name.lower()],
    ):
        if len(here) == 1:
            return here[0]
    raise UsageError(f"{table}: {option} names {name!r}, which is no column; {did_you_mean(name, header)}")


def _place(row: Sequence[str], line: int, columns: _Columns, table: Path) -> Placed:
    if len(row) <= columns.last:
        raise UsageError(
            f"{table}, row {line}: {len(row)} cells, fewer than the header has; complete the row"
        )
    file, cells = row[columns.file], tuple(row[index] for index in columns.labels)
    empty = "file" if not file else "label" if cells == ("",) and not columns.may_be_empty else ""
    if columns.group is not None and not row[columns.group]:
        empty = empty or "group"
    if empty:
        raise UsageError(f"{table}, row {line}: the {empty} is empty; fill it or remove the row")
    split = TRAIN
    if columns.split is not None:
        name = row[columns.split].lower()
        if name not in SPLIT_OF:
            raise UsageError(f"{table}, row {line}: split {name!r}; allowed: {', '.join(SPLIT_OF)}")
        split = SPLIT_OF[name]
    return Placed(
        str(PurePosixPath(file.replace("\\", "/"))),
        cells[0],
        split,
        more=cells[1:],
        group="" if columns.group is None else row[columns.group],
        told_by=tuple(row[index] for index in columns.told_by),
    )


def _with_suffixes(placed: Sequence[Placed], paths: Sequence[str]) -> list[Placed]:
    """The rows with the suffix of the only image of that name, where they leave it out."""
    images: dict[str, list[str]] = {}
    for path in paths:
        if is_image(path):
            images.setdefault(path.rpartition(".")[0], []).append(path)
    known = set(paths)
    return [
        replace(item, path=images[item.path][0])
        if item.path not in known and len(images.get(item.path, ())) == 1
        else item
        for item in placed
    ]


def _check_rows(placed: Sequence[Placed], known: set[str], table: Path, where: str) -> None:
    seen: set[str] = set()
    for item in placed:
        if item.path in seen:
            raise UsageError(f"{table}: {item.path} is listed twice; keep one row per image")
        seen.add(item.path)
    missing = [item.path for item in placed if item.path not in known]
    if missing:
        more = ", ..." if len(missing) > 3 else ""
        raise UsageError(
            f"{table}: {len(missing)} of {len(placed)} files are not in {where}: "
            f"{', '.join(missing[:3])}{more}; names are relative to that folder and include the suffix"
        )
    odd = [item.path for item in placed if not is_image(item.path)]
    if odd:
        raise UsageError(
            f"{table}: {len(odd)} rows name no supported image, e.g. {odd[0]}; convert or remove them"
        )
