"""A table or a predictor as one file, for those who search without the device at hand.

The file is a zip archive, uncompressed and undated: the same content gives the same bytes. Import makes the
archive anew from what it read and compares. This one check refuses a changed byte, a compressed or linked
entry, a second entry of a name and anything between the entries. The content is then loaded in a temporary
folder, as every use loads it, before a byte of it reaches the home.
"""

from __future__ import annotations

import io
import re
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lut.devices.archive import stored_zip
from lut.devices.measurement import reference_level_ms
from lut.predictor import latency_predictor as predictor
from lut.predictor.latency_predictor import LatencyPredictor
from targets import Context
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, safe_name, write_atomic, write_json

from . import blocks_csv
from .table import ROWS_FILE, SpaceTable, table_path

FORMAT = "hwnas-table-1"
MANIFEST, LEVEL = "bundle.json", "reference.json"
PREDICTOR = "predictor"
"""The name of a predictor beside the tables of its context, and of its folder."""

MAX_BYTES = 1 << 30
MAX_FILES = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")

Content = SpaceTable | LatencyPredictor


@dataclass(frozen=True)
class Stored:
    """A table or a predictor, and the folder of its context under a home."""

    content: Content
    folder: Path

    @property
    def name(self) -> str:
        """`<target>/<context>/<space>`, or `predictor` in the place of the space."""
        return f"{self.folder.parent.name}/{self.folder.name}/{_file_name(self.content)}"


def export_bundle(stored: Stored) -> bytes:
    """The archive; the same bytes for the same content."""
    content, context = stored.content, stored.content.context
    with tempfile.TemporaryDirectory(prefix="hwnas-export-") as temporary:
        folder = Path(temporary)
        _save(content, stored.folder, folder)
        level = _level_path(stored.folder.parent, context)
        if level.is_file():
            write_json(folder / LEVEL, read_json(level, "reference level of the target"))
        manifest = {
            "format": FORMAT,
            "kind": PREDICTOR if isinstance(content, LatencyPredictor) else "table",
            "target": content.target,
            "name": _file_name(content),
            "context": context.to_json(),
        }
        write_json(folder / MANIFEST, manifest)
        return stored_zip({path.name: path.read_bytes() for path in folder.iterdir()})


def import_bundle(path: Path, home: Path, *, replace: bool = False) -> Stored:
    """Put the content of an archive under the home, where `profile` would have put it.

    DamagedFileError where the archive is absent or damaged. UsageError where another table of that name is
    there already, unless told to `replace` it.
    """
    files = _read(path)
    with tempfile.TemporaryDirectory(prefix="hwnas-import-") as temporary:
        source = Path(temporary)
        for name, data in files.items():
            (source / name).write_bytes(data)
        content = _load(source, path)
        folder = home / "tables" / safe_name(content.target) / content.context.hash
        _check_place(content, source, folder, replace=replace)
        write_json(folder / "context.json", content.context.to_json())
        level = _level_path(folder.parent, content.context)
        if LEVEL in files and not level.exists():
            write_atomic(level, files[LEVEL])
        _save(content, source, _place(content, folder))
    return Stored(content, folder)


def _file_name(content: Content) -> str:
    return PREDICTOR if isinstance(content, LatencyPredictor) else safe_name(content.space_id)


def _place(content: Content, folder: Path) -> Path:
    return folder / PREDICTOR if isinstance(content, LatencyPredictor) else folder


def _save(content: Content, source: Path, folder: Path) -> None:
    """Write the content into `folder`, with its further files from `source`."""
    if isinstance(content, LatencyPredictor):
        return content.save(folder)
    names = read_json(table_path(source, content.space_id), "latency table")["files"]
    content.save(folder, {name: (source / name).read_bytes() for name in names})
    return None


def _level_path(folder: Path, context: Context) -> Path:
    """Where the speed of the reference is stored; it does not depend on the exporter (`ReferenceSpeed`)."""
    return folder / "reference" / f"{Context({**context.facts, 'exporter': ''}).hash}.json"


def _read(path: Path) -> dict[str, bytes]:
    """The entries of the archive; DamagedFileError unless `export_bundle` could have made it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DamagedFileError(f"{path} is no file; give an archive of `hwnas tables export`")
        if status.st_size > MAX_BYTES:
            raise DamagedFileError(f"{path} has {status.st_size} bytes; archives of tables have at most 1 GB")
        raw = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            wrong = [e.filename for e in entries if not _NAME.fullmatch(e.filename)]
            if wrong:
                raise ValueError(f"{wrong[0]!r} cannot be a file of a table")
            if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
                raise ValueError("its entries are compressed")
            if len(entries) > MAX_FILES or sum(e.file_size for e in entries) > len(raw):
                raise ValueError("its entries are more than the file holds")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise DamagedFileError(
            f"{path} is not an archive of `hwnas tables export`: {error}; get it once more"
        ) from None
    if stored_zip(files) != raw or MANIFEST not in files:
        raise DamagedFileError(
            f"{path} is damaged, or not written by `hwnas tables export`; get it once more"
        )
    return files


def _load(folder: Path, path: Path) -> Content:
    """The content of the folder, checked as every use checks it and against the manifest."""
    try:
        manifest = read_json(folder / MANIFEST, f"{path}: manifest")
        _check_manifest(manifest)
        content: Content = (
            predictor.load(folder) if manifest["kind"] == PREDICTOR else _load_table(folder, manifest["name"])
        )
        if (content.target, content.context.hash, _file_name(content)) != (
            manifest["target"],
            manifest["context"]["hash"],
            manifest["name"],
        ):
            raise DamagedFileError(f"{MANIFEST} tells of another table than the one inside")
        if (folder / LEVEL).exists():
            reference_level_ms(read_json(folder / LEVEL, LEVEL), LEVEL)
    except (DamagedFileError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(f"{path}: {str(error).replace(f'{folder}/', '')}") from None
    return content


def _load_table(folder: Path, name: str) -> SpaceTable:
    files = read_json(table_path(folder, name), "latency table").get("files", {})
    if not all(_NAME.fullmatch(file) for file in files):
        raise DamagedFileError(f"latency table {name}: {sorted(files)} cannot be files of a table")
    return SpaceTable.load(folder, name)


def _check_manifest(manifest: Any) -> None:
    if not isinstance(manifest, Mapping) or manifest.get("format") != FORMAT:
        raise DamagedFileError(f"no manifest of {FORMAT}; this version of hwnas reads no other")
    texts = [manifest.get(name) for name in ("kind", "target", "name")]
    if not all(isinstance(text, str) for text in texts) or manifest["kind"] not in ("table", PREDICTOR):
        raise DamagedFileError(f"kind, target and name must be texts, got {texts!r:.100}")


def _check_place(content: Content, source: Path, folder: Path, *, replace: bool) -> None:
    """UsageError where the place is taken, or where other tables were made of rows with other values."""
    file = predictor.FILE if isinstance(content, LatencyPredictor) else f"{_file_name(content)}.json"
    existing = _place(content, folder) / file
    if existing.exists() and existing.read_bytes() != (source / file).read_bytes() and not replace:
        raise UsageError(
            f"{existing} is another {file.removesuffix('.json')} of this device and context; give --replace "
            "to put the imported one in its place, or --home to keep both"
        )
    if isinstance(content, LatencyPredictor):
        return
    rows = blocks_csv.read_rows(folder / ROWS_FILE)
    changed = {key for key, row in content.measured_rows.items() if rows.get(key, row) != row}
    for path in folder.glob("*.json"):
        if not changed or path.name in (file, "context.json", "blocks.sha256.json"):
            continue
        shared = changed & set(read_json(path, "latency table").get("measured", ()))
        if shared:
            raise UsageError(
                f"{path} was made with another measurement of block {min(shared)!r} than the imported table; "
                "give --home to keep both"
            )
