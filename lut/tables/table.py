"""The latency table of one space on one target: a price per block, with the error stated beside it.

Two files: `<space_id>.json` holds prices, calibration, errors and the context; blocks.csv beside it the
measured rows, which spaces share. The JSON is sealed with its own SHA-256 and with that of its rows.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lut.devices.measurement import Measurement
from targets import Context
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, safe_name, sha256, write_json

from . import blocks_csv
from .calibrate import BlockCosts, Calibration
from .request import BLOCK_LEVEL

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2
ROWS_FILE = "blocks.csv"

_FIELDS: Mapping[str, type] = {
    "version": int,
    "space_id": str,
    "method": str,
    "target": str,
    "date": str,
    "seed": int,
    "context": dict,
    "blocks": dict,
    "measured": list,
    "line": dict,
    "errors": dict,
    "margin": float,
    "files": dict,
    "rows_sha256": str,
}


@dataclass(frozen=True)
class SpaceTable:
    """Prices of blocks on a target, calibrated on whole networks.

    space_id: what it is filed under. method: how blocks were measured, `block-level` or `in-context`.
    blocks: what each block costs (alone, or in the profile of networks) and its weights, measured or
    predicted. line: the calibration, see `calibrate`. errors: on networks that it has not seen, in percent.
    margin: 90 % quantile of its relative error there. measured_rows: the blocks that were measured, by
    their keys in blocks.csv.
    """

    space_id: str
    target: str
    context: Context
    blocks: BlockCosts = field(repr=False)
    line: Calibration
    errors: Mapping[str, Any] = field(repr=False)
    margin: float
    measured_rows: Mapping[str, Measurement] = field(repr=False)
    date: str
    seed: int
    method: str = BLOCK_LEVEL

    @property
    def intercept_ms(self) -> float:
        """What a network costs besides its blocks."""
        return self.line.intercept_ms

    @property
    def slope(self) -> float:
        """Milliseconds in a network per millisecond alone."""
        return self.line.slope

    def latency_ms(self, key: str) -> float:
        """What the block adds, the square apart; UsageError for one that the table lacks, never 0."""
        self._need(key)
        return self.line.block_ms(self.blocks.alone_ms[key], self.blocks.weight_bytes[key])

    def network_ms(self, keys: tuple[str, ...]) -> float:
        """The latency of a network made of these blocks."""
        for key in keys:
            self._need(key)
        return float(self.line.networks_ms(self.blocks, [keys])[0])

    @property
    def square_ms_per_mb2(self) -> float:
        """What the square of a network's weights, in 10^6 bytes, adds to its latency."""
        return self.line.per_weight_byte2_ms * 1e12

    def weight_mb(self, key: str) -> float:
        """10^6 bytes of weights of the block."""
        self._need(key)
        return self.blocks.weight_bytes[key] / 1e6

    def _need(self, key: str) -> None:
        known = self.blocks.alone_ms
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(
                f"latency table of {self.space_id} on {self.target}: no block {key!r} among its {len(known)}"
                f"{hint}; profile the space that has it"
            )

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
            "method": self.method,
            "target": self.target,
            "date": self.date,
            "seed": self.seed,
            "context": {"hash": self.context.hash, "facts": dict(self.context.facts)},
            "blocks": {
                key: {"alone_ms": ms, "weight_bytes": self.blocks.weight_bytes[key]}
                for key, ms in self.blocks.alone_ms.items()
            },
            "measured": sorted(self.measured_rows),
            "line": asdict(self.line),
            "errors": dict(self.errors),
            "margin": self.margin,
            "files": hashes,
            "rows_sha256": _rows_sha256(self.measured_rows),
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
        named = ("space_id", "method", "target", "date", "seed", "errors", "margin")
        cells = document["blocks"]
        return cls(
            context=found,
            blocks=BlockCosts(*({k: c[name] for k, c in cells.items()} for name in _CELLS)),
            line=Calibration(**document["line"]),
            measured_rows=own,
            **{name: document[name] for name in named},
        )


_CELLS = ("alone_ms", "weight_bytes")
_SMALLEST_MS = 1e-9


def filed_under(space_id: str, method: str) -> str:
    """The name of the table of a space: methods lie side by side."""
    return space_id if method == BLOCK_LEVEL else f"{space_id}.{method}"


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
    for key, cell in document["blocks"].items():
        if not isinstance(cell, dict) or sorted(cell) != sorted(_CELLS):
            raise DamagedFileError(f"latency table {path}: block {key!r} needs {', '.join(_CELLS)}; {advice}")
        for name in _CELLS:
            value, lowest = cell[name], (0.0 if name == "weight_bytes" else _SMALLEST_MS)
            if type(value) is not float or not lowest <= value < math.inf:
                raise DamagedFileError(f"latency table {path}: {name} of {key!r} is {value!r}; {advice}")
    line = document["line"]
    if sorted(line) != sorted(f.name for f in fields(Calibration)) or not all(
        type(v) is float and math.isfinite(v) for v in line.values()
    ):
        raise DamagedFileError(f"latency table {path}: line is {line!r}, not a calibration; {advice}")
    sealed = {k: v for k, v in document.items() if k != "sha256"}
    try:
        seal = _seal(sealed)
    except ValueError:
        seal = None
    if seal != document.get("sha256") or not isinstance(document["context"].get("facts"), dict):
        raise DamagedFileError(f"latency table {path}: content does not match its SHA-256; {advice}")
