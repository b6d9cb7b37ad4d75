"""An image folder, or a zip of one, whose folder names are the labels."""

from __future__ import annotations

from pathlib import Path

from hwnas.tasks import CLASSIFICATION, Task
from targets.errors import UsageError

from .file_source import FileSource, file_source
from .files import open_files
from .layout import arrange, ignored_note
from .mask_layout import looks_paired


def open_folder(path: Path, task: Task = CLASSIFICATION) -> FileSource:
    """The images below `path` with the names of their folders as labels."""
    files = open_files(path)
    if looks_paired(files.paths):
        raise UsageError(
            f"{files.where}: the folders hold images and a mask of each, not classes; give --task "
            "segmentation, or rename the folders where they are classes"
        )
    refused = ignored_note(files.refused, files.why_refused)
    try:
        placed, notes = arrange(files.paths, files.folders, files.where)
    except UsageError as error:
        raise UsageError("; ".join([str(error), *refused])) from None
    notes += refused
    return file_source(path.stem, files, placed, notes, task, ("folder",))
