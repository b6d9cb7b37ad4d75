"""`hwnas tables`: the tables and predictors under a home, and the archives in which they travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lut
from lut.predictor import latency_predictor as predictor
from lut.predictor.latency_predictor import LatencyPredictor
from lut.tables.bundle import PREDICTOR, Stored, export_bundle, import_bundle
from targets.errors import DamagedFileError, UsageError, did_you_mean
from targets.files import write_atomic


def stored_tables(home: Path) -> list[tuple[str, Stored | DamagedFileError]]:
    """All under `home` by name, `<target>/<context>/<space or predictor>`, or what is wrong with it."""
    return [entry for folder in sorted((home / "tables").glob("*/*")) for entry in _in_folder(folder)]


def _in_folder(folder: Path) -> Iterator[tuple[str, Stored | DamagedFileError]]:
    place = f"{folder.parent.name}/{folder.name}"
    for path in sorted(folder.glob("*.json")) if (folder / "context.json").exists() else ():
        if path.name == "context.json" or path.name.startswith("blocks."):
            continue
        try:
            yield f"{place}/{path.stem}", Stored(lut.SpaceTable.load(folder, path.stem), folder)
        except DamagedFileError as error:
            yield f"{place}/{path.stem}", error
    if (folder / PREDICTOR / predictor.FILE).exists():
        try:
            yield f"{place}/{PREDICTOR}", Stored(predictor.load(folder / PREDICTOR), folder)
        except DamagedFileError as error:
            yield f"{place}/{PREDICTOR}", error


def find_table(home: Path, name: str, only: str = "") -> Stored:
    """The stored table or predictor that `name` means; UsageError when none or several can be meant.

    name: all of `<target>/<context>/<space or predictor>`, a part of it, or a part and the last word, as in
        `host:mobile`.

    only: what the names of those that count end with.
    """
    tables = {full: found for full, found in stored_tables(home) if full.endswith(only)}
    if not tables:
        raise UsageError(f"there are no latency tables under {home}; `hwnas profile` makes one")
    hits = _matches(tables, name)
    if not hits:
        raise UsageError(f"no table matches {name!r} under {home}; {did_you_mean(name, tables)}")
    if len(hits) > 1:
        raise UsageError(
            f"{len(hits)} tables match {name!r} under {home}: {', '.join(hits)}; give one of these names, "
            f"or a part of it and its last word as in '{hits[0].split('/')[0]}:{hits[0].split('/')[-1]}'"
        )
    found = tables[hits[0]]
    if isinstance(found, DamagedFileError):
        raise found
    return found


def _matches(names: Iterable[str], wanted: str) -> list[str]:
    """The full names that `wanted` can mean, best first: the name itself, a target, a part of the name.

    `PART:LAST` counts only names whose last word is LAST.
    """
    names = list(names)
    part, colon, last = wanted.partition(":")
    if colon:
        names = [full for full in names if full.rsplit("/", 1)[-1] == last]
    return (
        [full for full in names if full == part]
        or [full for full in names if full.split("/")[0] == part]
        or [full for full in names if part in full]
    )


def listed(name: str, found: Stored | DamagedFileError) -> dict[str, Any]:
    """The row of `tables list`."""
    if isinstance(found, DamagedFileError):
        return {"table": name, "state": "damaged"}
    content = found.content
    return {"table": name, "state": "ok", "date": content.date, "mape_pct": content.errors.get("mape_pct")}


def table_facts(content: lut.SpaceTable | LatencyPredictor) -> dict[str, Any]:
    """What `hwnas profile` and `tables show` print: what it is, its error, the context beside it."""
    context = content.context.to_json()
    own = _predictor_facts(content) if isinstance(content, LatencyPredictor) else _space_facts(content)
    return {**own, "target": content.target, "date": content.date, "context": context}


def _space_facts(table: lut.SpaceTable) -> dict[str, Any]:
    return {
        "space": table.space_id,
        "method": table.method,
        "blocks": len(table.blocks.uncalibrated_ms),
        "blocks_measured": len(table.measured_rows),
        "intercept_ms": table.intercept_ms,
        "slope": table.slope,
        "margin": table.margin,
        "errors": dict(table.errors),
    }


def _predictor_facts(found: LatencyPredictor) -> dict[str, Any]:
    return {
        "device_s": found.device_s,
        "errors": dict(found.errors),
        "kernels_by_kind": dict(sorted(found.model.counts.items(), key=lambda entry: -entry[1])),
        "layout_rule": found.rule is not None,
        "memory_model": found.memory is not None,
    }


def export_table(home: Path, name: str, out: Path) -> dict[str, Any]:
    """Write the archive of a stored table or predictor; what was written, for people and programs."""
    stored = find_table(home, name)
    if out.exists():
        raise UsageError(f"{out} is there already; name a file that is not")
    data = export_bundle(stored)
    write_atomic(out, data)
    return {"table": stored.name, "file": str(out), "size_bytes": len(data)}


def import_table(home: Path, path: Path, *, replace: bool) -> dict[str, Any]:
    """Bring an archive under the home; which table it was, and the device that it is for."""
    stored = import_bundle(path, home, replace=replace)
    facts = stored.content.context.facts
    keys = [k for k in ("cpu_model", "ort_version") if k in facts]
    keys += sorted(k for k in facts if k.startswith("target_"))
    return {"table": stored.name, **listed(stored.name, stored), "context": {key: facts[key] for key in keys}}


def flat(document: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, Any]]:
    """Nested values as rows of dotted names; lists by their length, long texts cut: for people to read."""
    rows: list[tuple[str, Any]] = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows.append((f"{prefix}{key}", f"{len(value)} entries"))
        else:
            text = value[:57] + "..." if isinstance(value, str) and len(value) > 60 else value
            rows.append((f"{prefix}{key}", text))
    return rows
