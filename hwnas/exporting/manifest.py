"""`manifest.json` of an export: what each file is, how it is fed, how good and how fast it is.

The schema is documented in docs/shipping.md; `read_manifest` checks files against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.runs.environment import versions
from targets.errors import DamagedFileError
from targets.files import read_json, sha256

from .delivery import Record, findings
from .export import EXPORTER
from .partitions import partitions_of
from .source import ExportSource

MANIFEST = "manifest.json"
SCHEMA = 2
"""1 is that of the folder of one network in a run (`export.py`)."""


def manifest_of(
    source: ExportSource, records: Sequence[Record], conditions: Mapping[str, Any], max_drop: float
) -> dict[str, Any]:
    """The document, with good and rejected variants apart."""
    data = source.data
    partitions = partitions_of(source.model)
    provider = str(conditions["target"]["provider"])
    good = [record for record in records if not record["rejected"]]
    return {
        "schema": SCHEMA,
        "name": source.name,
        "source": {"kind": source.kind, **source.facts},
        "input": dict(source.described),
        "data": None
        if data is None
        else {
            "name": data.name,
            "classes": list(data.class_names),
            "images": {split: len(data.split(split)) for split in ("train", "val", "test")},
        },
        "max_drop": max_drop,
        "variants": good,
        "rejected": [record for record in records if record["rejected"]],
        "findings": findings(records, partitions, provider),
        "partitions": [cut.to_json() for cut in partitions],
        "measured": dict(conditions),
        "exporter": EXPORTER,
        "versions": versions(),
        "files": {name: digest for record in good for name, digest in files_of(record).items()},
    }


def files_of(record: Record) -> dict[str, str]:
    """SHA-256 of the file of a variant and of what lies beside it, by name."""
    return {record["file"]: record["sha256"], **record["beside"]}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an export whose files are whole; DamagedFileError names one that is not."""
    path = folder / MANIFEST
    manifest = read_json(path, "export manifest")
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise DamagedFileError(f"{path} is no manifest of an export; export the network again")
    for name, expected in manifest["files"].items():
        file = folder / name
        if not file.is_file() or sha256(file) != expected:
            raise DamagedFileError(f"{file} is missing or not as it was exported; export the network again")
    return manifest
