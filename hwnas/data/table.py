"""A CSV of file names and labels (and splits, if it has them) beside a folder or zip of images."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from targets.errors import DamagedFileError, UsageError

from .file_source import FileSource, file_source
from .files import open_files
from .layout import SPLIT_OF, Placed, ignored_note, is_image
from .source import TRAIN

_FILE_COLUMNS = (
    "file", "filename", "file_name", "image", "path", "image_id", "image_name", "image_path", "img",
    "img_path", "filepath", "file_path", "id_code", "id", "name",
)  # fmt: skip
_LABEL_COLUMNS = (
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
_SPLIT_COLUMNS = ("split",)
_MAX_CSV_BYTES = 500_000_000


def open_table(table: Path, images: Path) -> FileSource:
    """The images that `table` lists, found below the folder or zip `images`."""
    rows = _read(table)
    files = open_files(images)
    known = set(files.paths)
    columns = _columns(rows[0], table)
    placed = [_place(row, line, columns, table) for line, row in enumerate(rows[1:], start=2) if any(row)]
    if not placed:
        raise UsageError(f"{table}: has a header but no rows; list one image per row")
    placed = _with_suffixes(placed, files.paths)
    _check_rows(placed, known, table, files.where)
    listed = {item.path for item in placed}
    rest = [path for path in files.paths if path not in listed and is_image(path)]
    notes = ignored_note(rest, f"not in {table.name}") + ignored_note(files.refused, files.why_refused)
    return file_source(table.stem, files, placed, notes)


def _read(table: Path) -> list[list[str]]:
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


def _columns(header: Sequence[str], table: Path) -> Mapping[str, int]:
    """Positions of the file, label and (if present) split columns."""
    lower = [cell.lower() for cell in header]
    positions = {}
    for role, names in (("file", _FILE_COLUMNS), ("label", _LABEL_COLUMNS), ("split", _SPLIT_COLUMNS)):
        here = [index for index, cell in enumerate(lower) if cell in names]
        if role == "file" and len(here) > 1 and sum(lower[index] in names[:5] for index in here) == 1:
            here = [index for index in here if lower[index] in names[:5]]
        if len(here) > 1:
            choices = ", ".join(lower[index] for index in here)
            raise UsageError(f"{table}: {len(here)} columns could be the {role}: {choices}; keep one")
        if not here and role != "split":
            raise UsageError(
                f"{table}: no {role} column among {', '.join(header)!r}; name it one of {', '.join(names)}"
            )
        if here:
            positions[role] = here[0]
    return positions


def _place(row: Sequence[str], line: int, columns: Mapping[str, int], table: Path) -> Placed:
    if len(row) <= max(columns.values()):
        raise UsageError(
            f"{table}, row {line}: {len(row)} cells, fewer than the header has; complete the row"
        )
    file, label = row[columns["file"]], row[columns["label"]]
    if not file or not label:
        raise UsageError(
            f"{table}, row {line}: the {'file' if not file else 'label'} is empty; fill it or remove the row"
        )
    split = TRAIN
    if "split" in columns:
        name = row[columns["split"]].lower()
        if name not in SPLIT_OF:
            raise UsageError(f"{table}, row {line}: split {name!r}; allowed: {', '.join(SPLIT_OF)}")
        split = SPLIT_OF[name]
    return Placed(str(PurePosixPath(file.replace("\\", "/"))), label, split)


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
