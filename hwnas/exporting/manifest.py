"""`manifest.json` of an export: what each file is, how it is fed, how good and how fast it is.

The schema is documented in docs/shipping.md; `read_manifest` checks files against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.runs.environment import versions
from hwnas.tasks import inward, task_named
from targets.errors import DamagedFileError
from targets.files import read_json, sha256

from .by_column import by_column
from .delivery import Delivery, Record, findings
from .export import EXPORTER
from .partitions import operations_by_prefix, partitions_of

MANIFEST = "manifest.json"
SCHEMA = 2
"""1 is that of the folder of one network in a run (`export.py`)."""


def manifest_of(
    delivery: Delivery,
    records: Sequence[Record],
    conditions: Mapping[str, Any],
    *,
    licence: str | None = None,
) -> dict[str, Any]:
    """The document, with good and rejected variants apart. licence: as whoever exports states it."""
    source = delivery.source
    data = source.data
    good = [record for record in records if not record["rejected"]]
    operations = operations_by_prefix(source.facts.get("network") or {})
    partitions = partitions_of((delivery.folder / good[0]["file"]).read_bytes(), operations)
    provider = str(conditions["target"]["provider"])
    chosen = recommended(good)
    return {
        "schema": SCHEMA,
        "name": source.name,
        "licence": licence,
        "task": delivery.packaging.task.name,
        "source": {"kind": source.kind, **source.facts},
        "input": delivery.packaging.described(dict(source.described)),
        "data": None
        if data is None
        else {
            "name": data.name,
            "kind": data.kind.name,
            "classes": list(data.class_names),
            "images": {split: len(data.split(split)) for split in ("train", "val", "test")},
        },
        "max_drop": delivery.max_drop,
        "variants": good,
        "recommended": chosen,
        "rejected": [record for record in records if record["rejected"]],
        "findings": findings(records, partitions, provider),
        "quality": None if data is None else _quality(delivery, chosen),
        "partitions": [cut.to_json() for cut in partitions],
        "measured": dict(conditions),
        "exporter": EXPORTER,
        "versions": versions(),
        "files": {name: digest for record in good for name, digest in files_of(record).items()},
    }


def recommended(good: Sequence[Record]) -> str:
    """The fastest file; the float one where another gains less than 2 %, which is noise."""
    base = good[0]
    fastest = min(good, key=lambda record: float(record["latency_p50_ms"]))
    gains = float(fastest["latency_p50_ms"]) < 0.98 * float(base["latency_p50_ms"])
    return str((fastest if gains else base)["file"])


def _quality(delivery: Delivery, file: str) -> dict[str, Any]:
    data = delivery.source.data
    assert data is not None  # asked for where there are images
    scores = delivery.scores((delivery.folder / file).read_bytes(), delivery.packaging)
    score, probabilities = scores["test"], delivery.packaging.softmax
    quality = data.task.quality(score.logits, score.labels, data.class_names, probabilities=probabilities)
    told = {split: by_column(each, data.told_by(split)) for split, each in scores.items()}
    return {"file": file, **quality, "by_column": {split: rows for split, rows in told.items() if rows}}


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
    named: dict[str, Any] = inward(manifest, task_named(manifest.get("task")))
    return named
