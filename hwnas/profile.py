"""`hwnas profile`, `bench`, `tables` and `targets check`: what a device costs, without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lut
from lut.check import check_needs
from lut.device import device_context
from lut.reference import reference_onnx
from lut.request import BLOCK_LEVEL, IN_CONTEXT
from targets import Target
from targets.errors import DamagedFileError, UsageError, did_you_mean

from .runs.log import Log


def profile_space(
    target: Target,
    space_name: str,
    *,
    image_size: int,
    in_channels: int,
    n_classes: int,
    width_mult: float | None,
    minutes: float,
    home: Path,
    seed: int,
    log: Log,
    method: str = BLOCK_LEVEL,
    batch: int = 1,
) -> lut.SpaceTable:
    """The latency table of a space on a target: reused where one of this context exists, else measured.

    method: how blocks are priced, see `lut.space_table`. batch: images per inference.
    """
    from .pipeline.networks import covering, exporter, parts, wholes
    from .spaces import load_space

    space = load_space(
        space_name, image_size=image_size, in_channels=in_channels, n_classes=n_classes, width_mult=width_mult
    )
    return lut.space_table(
        target,
        space.space_id,
        parts(space, batch),
        wholes(space, seed, batch=batch),
        minutes=minutes,
        home=home,
        exporter=exporter(batch),
        seed=seed,
        log=log,
        progress=log.progress,
        method=method,
        profiled=covering(space, seed, batch) if method == IN_CONTEXT else (),
    )


def bench(target: Target, models: Mapping[str, Path | bytes], *, home: Path, log: Log) -> dict[str, Any]:
    """Measured latency of ONNX files, with the context that a latency means nothing without."""
    measured = lut.measure(target, models, home=home, log=log)
    context = device_context(target, "")
    return {
        "target": target.described,
        "context": {"hash": context.hash, "facts": dict(context.facts)},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {name: asdict(row) for name, row in measured.items()},
    }


def check_target(target: Target, *, home: Path, log: Log) -> dict[str, Any]:
    """What the target has of what measuring needs; `bench` of the reference network where all is there."""
    needs = check_needs(target)
    usable = all(need.state != "missing" for need in needs)
    return {
        "target": target.to_json(),
        "usable": usable,
        "needs": [asdict(need) for need in needs],
        "measured": bench(target, {"reference": reference_onnx()}, home=home, log=log) if usable else None,
    }


def stored_tables(home: Path) -> list[tuple[str, lut.SpaceTable | DamagedFileError]]:
    """Every latency table under `home` by its name `<target>/<context>/<space>`, or what is wrong with it."""
    found: list[tuple[str, lut.SpaceTable | DamagedFileError]] = []
    contexts = [path.parent for path in sorted((home / "tables").glob("*/*/context.json"))]
    for path in (path for folder in contexts for path in sorted(folder.glob("*.json"))):
        if path.name == "context.json" or path.name.startswith("blocks."):
            continue
        name = f"{path.parts[-3]}/{path.parts[-2]}/{path.stem}"
        try:
            found.append((name, lut.SpaceTable.load(path.parent, path.stem)))
        except DamagedFileError as error:
            found.append((name, error))
    return found


def find_table(home: Path, name: str) -> lut.SpaceTable:
    """The stored table whose name contains `name`; UsageError when none or several do."""
    tables = dict(stored_tables(home))
    if not tables:
        raise UsageError(f"there are no latency tables under {home}; `hwnas profile` makes one")
    hits = [full for full in tables if name == full] or [full for full in tables if name in full]
    if len(hits) != 1:
        problem = f"{len(hits)} tables match" if hits else "no table matches"
        raise UsageError(f"{problem} {name!r} under {home}; {did_you_mean(name, hits or tables)}")
    table = tables[hits[0]]
    if isinstance(table, DamagedFileError):
        raise table
    return table


def table_facts(table: lut.SpaceTable) -> dict[str, Any]:
    """What `hwnas profile` and `tables show` print: the calibration and its error, the context beside it."""
    return {
        "space": table.space_id,
        "method": table.method,
        "target": table.target,
        "date": table.date,
        "blocks": len(table.blocks.alone_ms),
        "blocks_measured": len(table.measured_rows),
        "intercept_ms": table.intercept_ms,
        "slope": table.slope,
        "margin": table.margin,
        "errors": dict(table.errors),
        "context": {"hash": table.context.hash, "facts": dict(table.context.facts)},
    }


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
