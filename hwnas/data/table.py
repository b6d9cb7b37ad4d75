"""A CSV of file names and labels (and splits and groups, if it has them) beside a folder or zip of images."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
    rows = rows_of(table)
    header = next(rows)
    files = open_files(images)
    columns = _columns(header, table, task, label_columns, group_column, report_by)
    placed = _placed(rows, columns, table, files)
    names = (tuple(header[index] for index in places) for places in (columns.labels, columns.told_by))
    return TableRows(placed, files, *names)


def rows_of(table: Path) -> Iterator[list[str]]:
    """The cells of a CSV, row by row, header first; UsageError or DamagedFileError where there are none."""
    if not table.is_file():
        what = "is no file" if table.exists() else "does not exist"
        raise UsageError(f"{table} {what}; give a .csv with the columns file and label")
    if table.stat().st_size > _MAX_CSV_BYTES:
        raise UsageError(f"{table}: larger than {_MAX_CSV_BYTES / 1e6:.0f} MB")
    try:
        with table.open(encoding="utf-8-sig") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            header = [cell.strip() for cell in next(rows, ())]
            if not any(header):
                raise UsageError(f"{table}: is empty; the first row must name the columns file and label")
            yield header
            for row in rows:
                yield [cell.strip() for cell in row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DamagedFileError(f"{table}: cannot be read as UTF-8 CSV ({error}); save it again") from None


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


def _placed(rows: Iterable[list[str]], columns: _Columns, table: Path, files: Files) -> list[Placed]:
    """The rows below the header, each of which names a file that is there.

    Rows without a file are counted and not kept, and `_MOST_MISSING` are enough to refuse the table: it
    may have millions.
    """
    known, named = set(files.paths), _without_suffixes(files.paths)
    placed: list[Placed] = []
    seen: set[str] = set()
    missing: list[str] = []
    odd: list[str] = []
    for line, row in enumerate(rows, start=2):
        if not any(row):
            continue
        path = _path(_checked(row, line, columns, table)[columns.file])
        if path not in known and len(named.get(path, ())) == 1:
            path = named[path][0]
        if path in seen:
            raise UsageError(f"{table}: {path} is listed twice; keep one row per image")
        seen.add(path)
        if path not in known:
            missing.append(path)
            if len(missing) > _MOST_MISSING:
                break
        elif not is_image(path):
            odd.append(path)
        else:
            placed.append(_place(path, row, line, columns, table))
    if not seen:
        raise UsageError(f"{table}: has a header but no rows; list one image per row")
    _require_images(missing, odd, len(seen), table, files.where)
    return placed


_MOST_MISSING = 10_000
"""So many rows without a file say that the table belongs to other images."""


def _checked(row: list[str], line: int, columns: _Columns, table: Path) -> list[str]:
    """The row; UsageError where it lacks a cell that is needed."""
    if len(row) <= columns.last:
        raise UsageError(
            f"{table}, row {line}: {len(row)} cells, fewer than the header has; complete the row"
        )
    empty = "" if row[columns.file] else "file"
    if not columns.may_be_empty and len(columns.labels) == 1 and not row[columns.labels[0]]:
        empty = empty or "label"
    if columns.group is not None and not row[columns.group]:
        empty = empty or "group"
    if empty:
        raise UsageError(f"{table}, row {line}: the {empty} is empty; fill it or remove the row")
    return row


def _place(path: str, row: Sequence[str], line: int, columns: _Columns, table: Path) -> Placed:
    split = TRAIN
    if columns.split is not None:
        name = row[columns.split].lower()
        if name not in SPLIT_OF:
            raise UsageError(f"{table}, row {line}: split {name!r}; allowed: {', '.join(SPLIT_OF)}")
        split = SPLIT_OF[name]
    label, *more = (row[index] for index in columns.labels)
    return Placed(
        path,
        label,
        split,
        more=tuple(more),
        group="" if columns.group is None else row[columns.group],
        told_by=tuple(row[index] for index in columns.told_by),
    )


def _path(cell: str) -> str:
    """The name of a file as archives and folders list it: `./a.png` is `a.png`."""
    path = cell.replace("\\", "/")
    plain = not ("//" in path or "/." in path or path.startswith(".") or path.endswith("/"))
    return path if plain else str(PurePosixPath(path))


def _without_suffixes(paths: Sequence[str]) -> dict[str, list[str]]:
    """The images by their names without a suffix, which a table may leave out."""
    images: dict[str, list[str]] = {}
    for path in paths:
        if is_image(path):
            images.setdefault(path.rpartition(".")[0], []).append(path)
    return images


def _require_images(
    missing: Sequence[str], odd: Sequence[str], n_listed: int, table: Path, where: str
) -> None:
    """UsageError where a listed file is not there, or is no image."""
    if missing:
        more = ", ..." if len(missing) > 3 else ""
        counted = f"{len(missing)} of {n_listed}"
        if len(missing) > _MOST_MISSING:
            counted = f"more than {_MOST_MISSING:,} of the first {n_listed:,}"
        raise UsageError(
            f"{table}: {counted} files are not in {where}: "
            f"{', '.join(missing[:3])}{more}; names are relative to that folder and include the suffix"
        )
    if odd:
        raise UsageError(
            f"{table}: {len(odd)} rows name no supported image, e.g. {odd[0]}; convert or remove them"
        )
