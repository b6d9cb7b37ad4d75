"""The latency table of one space on one target: a price per block, with the error stated beside it.

Two files: `<space_id>.json` holds prices, calibration, errors and the context; blocks.csv beside it the
measured rows, which spaces share. The JSON is sealed with its own SHA-256 and with that of its rows.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets import Context
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, safe_name, sha256, write_json

from . import blocks_csv
from .device import Measurement

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
ROWS_FILE = "blocks.csv"

_FIELDS: Mapping[str, type] = {
    "version": int,
    "space_id": str,
    "target": str,
    "date": str,
    "context": dict,
    "intercept_ms": float,
    "slope": float,
    "per_block_ms": float,
    "per_weight_byte_ms": float,
    "prices_ms": dict,
    "measured": list,
    "errors": dict,
    "margin": float,
    "seed": int,
    "files": dict,
    "rows_sha256": str,
}


@dataclass(frozen=True)
class SpaceTable:
    """Prices of blocks on a target, calibrated on whole networks.

    prices_ms: block key -> its share of a network's latency. measured: the keys whose row was measured,
    the others were predicted. errors: on networks that the calibration has not seen, in percent.
    margin: 90 % quantile of the relative error there. extra: more of the document (seed, fitted terms).
    """

    space_id: str
    target: str
    context: Context
    intercept_ms: float
    slope: float
    prices_ms: Mapping[str, float]
    measured: frozenset[str]
    errors: Mapping[str, Any]
    margin: float
    measured_rows: Mapping[str, Measurement] = field(repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def latency_ms(self, key: str) -> float:
        """What the block adds to a network; UsageError for a block that the table lacks, never 0."""
        try:
            return self.prices_ms[key]
        except KeyError:
            close = difflib.get_close_matches(key, self.prices_ms, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(
                f"latency table of {self.space_id} on {self.target}: no block {key!r} among its "
                f"{len(self.prices_ms)}{hint}; profile the space that has it"
            ) from None

    def network_ms(self, keys: tuple[str, ...]) -> float:
        """The latency of a network made of these blocks."""
        return self.intercept_ms + math.fsum(self.latency_ms(key) for key in keys)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The measured rows of this space, columns as in blocks.csv."""
        return blocks_csv.frame(self.measured_rows)

    def save(self, folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
        """Write `<space_id>.json`, its other files, and its rows into the blocks.csv of the folder."""
        from targets.files import write_atomic

        rows_path = folder / ROWS_FILE
        blocks_csv.write_rows(rows_path, {**blocks_csv.read_rows(rows_path), **self.measured_rows})
        hashes = {}
        for name, data in (files or {}).items():
            write_atomic(folder / name, data)
            hashes[name] = sha256(data)
        document = {
            "version": VERSION,
            "space_id": self.space_id,
            "target": self.target,
            "context": {"hash": self.context.hash, "facts": dict(self.context.facts)},
            "intercept_ms": self.intercept_ms,
            "slope": self.slope,
            "prices_ms": dict(self.prices_ms),
            "measured": sorted(self.measured),
            "errors": dict(self.errors),
            "margin": self.margin,
            "files": hashes,
            "rows_sha256": _rows_sha256(self.measured_rows),
            **self.extra,
        }
        path = table_path(folder, self.space_id)
        write_json(path, {**document, "sha256": _seal(document)})
        return path

    @classmethod
    def load(cls, folder: Path, space_id: str, context: Context | None = None) -> SpaceTable:
        """The table in the folder; DamagedFileError for damage, or for another context than asked for."""
        path = table_path(folder, space_id)
        document = read_json(path, "latency table")
        _check(document, path)
        found = Context(document["context"]["facts"])
        if found.hash != document["context"]["hash"]:
            raise DamagedFileError(
                f"latency table {path}: the context does not match its hash; restore or delete it"
            )
        if context is not None and context.hash != found.hash:
            raise DamagedFileError(
                f"latency table {path} was measured in another context: {context.explain(found)}; "
                "profile again, or use the table where it was made"
            )
        for name, digest in document["files"].items():
            if not (folder / name).is_file() or sha256(folder / name) != digest:
                raise DamagedFileError(
                    f"latency table {path}: {name} is missing or damaged; delete the table"
                )
        rows = blocks_csv.read_rows(folder / ROWS_FILE)
        missing = [key for key in document["measured"] if key not in rows]
        if missing:
            raise DamagedFileError(
                f"latency table {path}: {folder / ROWS_FILE} lacks the row of {missing[0]!r}"
            )
        own = {key: rows[key] for key in document["measured"]}
        if _rows_sha256(own) != document["rows_sha256"]:
            raise DamagedFileError(
                f"latency table {path}: rows in {folder / ROWS_FILE} are not those it was made of"
            )
        named = ("intercept_ms", "slope", "margin", "errors", "space_id", "target", "prices_ms")
        return cls(
            context=found,
            measured=frozenset(document["measured"]),
            measured_rows=own,
            extra={k: document[k] for k in _EXTRA},
            **{name: document[name] for name in named},
        )


_EXTRA = ("date", "seed", "per_block_ms", "per_weight_byte_ms")


def table_path(folder: Path, space_id: str) -> Path:
    """Where the table of the space lies."""
    return folder / f"{safe_name(space_id)}.json"


def _rows_sha256(rows: Mapping[str, Measurement]) -> str:
    return sha256(blocks_csv.csv_text(rows).encode())


def _seal(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode())


def _check(document: Any, path: Path) -> None:
    """Every field, its type and the seal; DamagedFileError says which is wrong."""
    advice = "restore it, or delete it and profile again"
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise DamagedFileError(f"latency table {path}: no table of version {VERSION}; {advice}")
    unknown = sorted(set(document) - set(_FIELDS) - {"sha256"})
    if unknown:
        raise DamagedFileError(f"latency table {path}: unknown field {unknown[0]!r}; {advice}")
    for name, kind in _FIELDS.items():
        if type(document.get(name)) is not kind:
            raise DamagedFileError(
                f"latency table {path}: {name} must be {kind.__name__}, "
                f"got {document.get(name)!r:.60}; {advice}"
            )
    prices = document["prices_ms"]
    for key, price in prices.items():
        if type(price) is not float or not (math.isfinite(price) and price > 0):
            raise DamagedFileError(f"latency table {path}: price of {key!r} is {price!r}; {advice}")
    if not all(math.isfinite(document[n]) for n in ("intercept_ms", "slope", "margin")):
        raise DamagedFileError(f"latency table {path}: intercept, slope or margin is no number; {advice}")
    sealed = {k: v for k, v in document.items() if k != "sha256"}
    try:
        seal = _seal(sealed)
    except ValueError:
        seal = None
    if seal != document.get("sha256") or not isinstance(document["context"].get("facts"), dict):
        raise DamagedFileError(f"latency table {path}: content does not match its SHA-256; {advice}")
