"""All values of a finished run, less those that a clock decides; and in which of them two runs differ."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from targets.files import sha256

CLOCKED_FILES = re.compile(
    r"(.*/)?(\.lock|progress\.json|clock\.json|report\.html|export\.html|env\.json|export/README\.md)"
)
"""Files of times and of the state of the machine, and pages that show measurements."""

CLOCKED = re.compile(
    r"""(?x)
    (?:^|[/.]) (?:
        .*_s | .*_seconds | seconds | began | finished | written | date | created | datetime_\w+ | measured
      | warning | sentence | findings | flag(?:_reason)? | reason | n | sha256 | slowdown
      | work | conditions | ci_\w+
      | p[259]0_ms | load_ms | first_run_ms | peak_bytes | peak_default_bytes | measurements? | machine
      | measured_\w*(?:latency|energy|peak|ci|clock|flag|reason|date)\w* | latency\w*_(?:p50|p90|p20|ci)\w*
      | job_sha256
    ) (?: [/.] \d+ )* $
    | [.] (?: forecast_s | work | measurements_unstable ) [.]
    | stages/\w+\.json\.files\."""
)
"""Names of values that a clock decides, and of the checksums of files that hold such values."""


def values(run: Path) -> dict[str, str]:
    """Every value of the run that no clock decides, as text by `file/path.of.keys`.

    The folder around the run, which holds its home too, is written as `FOLDER`.
    """
    found: dict[str, str] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or path.is_symlink():
            found[f"{name}/"] = str(path.readlink()) if path.is_symlink() else "folder"
        elif CLOCKED_FILES.fullmatch(name):
            found[name] = "file"
        else:
            found |= {key: value for key, value in _of_file(path, name) if not CLOCKED.search(key)}
    around = str(run.parent)
    return {key: value.replace(around, "FOLDER") for key, value in found.items()}


def differences(expected: Mapping[str, str], got: Mapping[str, str]) -> list[str]:
    """One line per value that is missing, too much or another."""
    names = sorted(expected.keys() | got.keys())
    return [
        f"{name}: {expected.get(name, 'absent')[:60]} became {got.get(name, 'absent')[:60]}"
        for name in names
        if expected.get(name) != got.get(name)
    ]


def _of_file(path: Path, name: str) -> Iterator[tuple[str, str]]:
    match path.suffix:
        case ".json":
            yield from _of_json(json.loads(path.read_text(encoding="utf-8")), name)
        case ".csv":
            rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
            for i, row in enumerate(rows):
                yield from ((f"{name}/{i}.{column}", str(value)) for column, value in row.items())
        case ".toml" | ".txt":
            yield name, path.read_text(encoding="utf-8")
        case ".db":
            yield from _of_database(path, name)
        case _:
            yield name, sha256(path)


def _of_json(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _of_json(inner, f"{name}.{key}")
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            # Findings by their codes: one that a clock decides must not move those after it.
            code = inner.get("code") if isinstance(inner, dict) else None
            yield from _of_json(inner, f"{name}.{code or i}")
    else:
        yield name, json.dumps(value)


def _of_database(path: Path, name: str) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(tables):
            cursor = database.execute(f'SELECT * FROM "{table}"')  # a name from the file's own list
            columns = [column[0] for column in cursor.description]
            for i, row in enumerate(cursor):
                yield from ((f"{name}/{table}.{i}.{c}", repr(v)) for c, v in zip(columns, row, strict=True))
