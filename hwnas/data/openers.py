"""What reads a path that the user gives as data: a row each, tried in order; images come last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from targets.errors import UsageError

from .box_source import open_boxes
from .folder import open_folder
from .mask_source import open_masks
from .recordings import open_recordings
from .sounds import holds_sounds, open_sounds
from .source import DataRequest, DataSource
from .table import open_table
from .text import open_text
from .window_files import open_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReader:
    """How one kind of path is read.

    what: it is, for messages.
    matches: whether a path is one. open: its samples.
    takes: options that have a meaning for it; others are refused.
    """

    what: str
    matches: Callable[[Path, DataRequest], bool]
    open: Callable[[Path, DataRequest], DataSource]
    takes: frozenset[str]


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _table(path: Path, request: DataRequest) -> DataSource:
    beside = request.labels_csv is None or _is_csv(path)
    table, images = (path, path.parent) if beside else (Path(str(request.labels_csv)), path)
    return open_table(
        table, images, request.task, request.label_columns, request.group_column, request.report_by
    )


_COLUMNS = frozenset(("--label-column", "--group-column", "--report-by"))

READERS = (
    PathReader(
        what="a text",
        matches=lambda path, request: request.task.texts,
        open=lambda path, request: open_text(request),
        takes=frozenset(("--tokens", "--window")),
    ),
    PathReader(
        what="images with masks",
        matches=lambda path, request: request.task.planes > 0,
        open=lambda path, request: open_masks(request),
        takes=_COLUMNS | {"--labels"},
    ),
    PathReader(
        what="images with boxes",
        matches=lambda path, request: request.task.boxes,
        open=open_boxes,
        takes=frozenset(),
    ),
    PathReader(
        what="windows in an .npz file",
        matches=lambda path, request: path.suffix.lower() == ".npz",
        open=open_windows,
        takes=frozenset(),
    ),
    PathReader(
        what="recordings in a CSV",
        matches=lambda path, request: _is_csv(path) and request.window is not None,
        open=open_recordings,
        takes=_COLUMNS | {"--window", "--hop"},
    ),
    PathReader(
        what="images in a CSV",
        matches=lambda path, request: _is_csv(path) or request.labels_csv is not None,
        open=_table,
        takes=_COLUMNS | {"--labels"},
    ),
    PathReader(
        what="a folder of sounds",
        matches=lambda path, request: holds_sounds(path),
        open=open_sounds,
        takes=frozenset(("--clip-seconds",)),
    ),
    PathReader(
        what="a folder of images",
        matches=lambda path, request: True,
        open=lambda path, request: open_folder(path, request.task),
        takes=frozenset(),
    ),
)

_NEEDS_CSV = "it needs a CSV; give one as --data, or with --labels"
_CUTS = "it cuts recordings in a CSV into windows, with --window SAMPLES"
_WHY = {
    "--labels": "it lists the files of a folder",
    "--label-column": _NEEDS_CSV,
    "--group-column": _NEEDS_CSV,
    "--report-by": _NEEDS_CSV,
    "--window": _CUTS,
    "--hop": _CUTS,
    "--tokens": "it says what the symbols of a text are, for --task language",
    "--clip-seconds": "it is the length of sounds in WAV files",
}
"""What each option is for."""


def refuse_options(request: DataRequest, what: str, takes: frozenset[str]) -> None:
    """UsageError for an option that has no meaning for what the data are."""
    given = {
        "--labels": request.labels_csv,
        "--label-column": request.label_columns,
        "--group-column": request.group_column,
        "--report-by": request.report_by,
        "--window": request.window,
        "--hop": request.hop,
        "--tokens": request.tokens,
        "--clip-seconds": request.clip_seconds,
    }
    for option, value in given.items():
        if value and option not in takes:
            raise UsageError(f"{option}: {_WHY[option]}; {request.spec} is {what}: leave it out")
