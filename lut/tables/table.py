"""The latency table of one space on one target: a cost per block, with the error stated beside it.

It is two files. `<space_id>.json` holds costs, calibration, errors and the context; blocks.csv beside it
holds the measured rows, which spaces share. The JSON holds the checksum (SHA-256) of itself and of its rows.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lut.devices.measurement import Measurement
from targets import Context
from targets.checksummed import is_intact, write_checksummed
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, safe_name, sha256, write_atomic

from . import blocks_csv
from .calibrate import BlockCosts, Calibration
from .request import BLOCK_LEVEL

if TYPE_CHECKING:
    import pandas as pd

VERSION = 3
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


_CELLS = {"alone_ms": "uncalibrated_ms", "weight_bytes": "weight_bytes", "factor": "factors"}
"""Name of a block's value in the file: name in BlockCosts."""

_SMALLEST_MS = 1e-9
_ADVICE = "restore it, or delete it and profile again"


@dataclass(frozen=True)
class SpaceTable:
    """Costs of blocks on a target, calibrated on whole networks.

    space_id: what it is filed under.
    target: name of the device.
    context: every fact that may change a latency.
    blocks: what each block costs before the calibration, and its weights; measured or estimated.
    calibration: from costs of blocks to latencies of networks.
    errors: on networks that the calibration has not seen, in percent.
    margin: 90 % quantile of the relative error on these.
    measured_rows: the rows of the blocks that were measured, by their keys in blocks.csv.
    date: when it was made.
    seed: of every random draw.
    method: how blocks were measured, `block-level` or `in-context`.
    """

    space_id: str
    target: str
    context: Context
    blocks: BlockCosts = field(repr=False)
    calibration: Calibration
    errors: Mapping[str, Any] = field(repr=False)
    margin: float
    measured_rows: Mapping[str, Measurement] = field(repr=False)
    date: str
    seed: int
    method: str = BLOCK_LEVEL

    @property
    def intercept_ms(self) -> float:
        """What a network costs besides its blocks."""
        return self.calibration.intercept_ms

    @property
    def slope(self) -> float:
        """Milliseconds in a network per uncalibrated millisecond."""
        return self.calibration.slope

    def latency_ms(self, key: str) -> float:
        """What the block adds to a network, without the square; UsageError if the table lacks it."""
        self._need(key)
        return self.calibration.block_ms(self.blocks.cost_ms(key), self.blocks.weight_bytes[key])

    def network_ms(self, keys: tuple[str, ...]) -> float:
        """The latency of a network made of these blocks."""
        for key in keys:
            self._need(key)
        return float(self.calibration.networks_ms(self.blocks, [keys])[0])

    @property
    def square_ms_per_mb2(self) -> float:
        """What the square of a network's weights, in 10^6 bytes, adds to its latency."""
        return self.calibration.per_weight_byte2_ms * 1e12

    def weight_mb(self, key: str) -> float:
        """Weights of the block, in 10^6 bytes."""
        self._need(key)
        return self.blocks.weight_bytes[key] / 1e6

    def _need(self, key: str) -> None:
        known = self.blocks.uncalibrated_ms
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
        """Write `<space_id>.json`, its other `files`, and its rows into the blocks.csv of the folder."""
        blocks_csv.add_rows(folder / ROWS_FILE, self.measured_rows)
        for name, data in (files or {}).items():
            write_atomic(folder / name, data)
        document = {
            "version": VERSION,
            "space_id": self.space_id,
            "method": self.method,
            "target": self.target,
            "date": self.date,
            "seed": self.seed,
            "context": self.context.to_json(),
            "blocks": {
                key: {cell: getattr(self.blocks, name).get(key, 1.0) for cell, name in _CELLS.items()}
                for key in self.blocks.uncalibrated_ms
            },
            "measured": sorted(self.measured_rows),
            "line": asdict(self.calibration),
            "errors": dict(self.errors),
            "margin": self.margin,
            "files": {name: sha256(data) for name, data in (files or {}).items()},
            "rows_sha256": _rows_sha256(self.measured_rows),
        }
        path = table_path(folder, self.space_id)
        write_checksummed(path, document, compact=True)
        return path

    @classmethod
    def load(cls, folder: Path, space_id: str, context: Context | None = None) -> SpaceTable:
        """The table in the folder; DamagedFileError if it is damaged or of another context than `context`."""
        path = table_path(folder, space_id)
        document = read_json(path, "latency table")
        _check(document, path)
        stored = Context(document["context"]["facts"])
        if stored.hash != document["context"]["hash"]:
            raise DamagedFileError(
                f"latency table {path}: the context does not match its hash; restore or delete it"
            )
        if context is not None and context.hash != stored.hash:
            raise DamagedFileError(
                f"latency table {path} was measured in another context: {context.explain(stored)}; "
                "profile again, or use the table where it was made"
            )
        for name, digest in document["files"].items():
            if not (folder / name).is_file() or sha256(folder / name) != digest:
                raise DamagedFileError(
                    f"latency table {path}: {name} is missing or damaged; delete the table"
                )
        cells = document["blocks"]
        return cls(
            context=stored,
            blocks=BlockCosts(
                **{name: {key: c[cell] for key, c in cells.items()} for cell, name in _CELLS.items()}
            ),
            calibration=Calibration(**document["line"]),
            measured_rows=_load_rows(folder / ROWS_FILE, document, path),
            **{
                name: document[name]
                for name in ("space_id", "method", "target", "date", "seed", "errors", "margin")
            },
        )


def of_earlier_version(folder: Path, space_id: str) -> bool:
    """Whether an earlier version of hwnas made the table in the folder: its calibration is another."""
    document = read_json(table_path(folder, space_id), "latency table")
    version = document.get("version") if isinstance(document, dict) else None
    return type(version) is int and version < VERSION


def filed_under(space_id: str, method: str) -> str:
    """The name of the table of a space by one method; tables of several methods lie side by side."""
    return space_id if method == BLOCK_LEVEL else f"{space_id}.{method}"


def table_path(folder: Path, space_id: str) -> Path:
    """Where the table of the space lies."""
    return folder / f"{safe_name(space_id)}.json"


def _load_rows(rows_path: Path, document: Mapping[str, Any], path: Path) -> dict[str, Measurement]:
    """The rows that the table was made of; DamagedFileError where one is missing or another."""
    rows = blocks_csv.read_rows(rows_path)
    missing = [key for key in document["measured"] if key not in rows]
    if missing:
        raise DamagedFileError(f"latency table {path}: {rows_path} lacks the row of {missing[0]!r}")
    measured = {key: rows[key] for key in document["measured"]}
    if _rows_sha256(measured) != document["rows_sha256"]:
        raise DamagedFileError(f"latency table {path}: rows in {rows_path} are not those it was made of")
    return measured


def _rows_sha256(rows: Mapping[str, Measurement]) -> str:
    return sha256(blocks_csv.csv_text(rows).encode())


def _check(document: Any, path: Path) -> None:
    """Every field, its type and the checksum; DamagedFileError says which is wrong."""
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise DamagedFileError(f"latency table {path}: no table of version {VERSION}; {_ADVICE}")
    unknown = sorted(set(document) - set(_FIELDS) - {"sha256"})
    if unknown:
        raise DamagedFileError(f"latency table {path}: unknown field {unknown[0]!r}; {_ADVICE}")
    for name, kind in _FIELDS.items():
        if type(document.get(name)) is not kind:
            raise DamagedFileError(
                f"latency table {path}: {name} must be {kind.__name__}, "
                f"got {document.get(name)!r:.60}; {_ADVICE}"
            )
    for key, cell in document["blocks"].items():
        _check_block(key, cell, path)
    line = document["line"]
    if sorted(line) != sorted(f.name for f in fields(Calibration)) or not all(
        type(v) is float and math.isfinite(v) for v in line.values()
    ):
        raise DamagedFileError(f"latency table {path}: line is {line!r}, not a calibration; {_ADVICE}")
    if not is_intact(document, compact=True) or not isinstance(document["context"].get("facts"), dict):
        raise DamagedFileError(f"latency table {path}: content does not match its SHA-256; {_ADVICE}")


def _check_block(key: str, cell: Any, path: Path) -> None:
    if not isinstance(cell, dict) or sorted(cell) != sorted(_CELLS):
        raise DamagedFileError(f"latency table {path}: block {key!r} needs {', '.join(_CELLS)}; {_ADVICE}")
    for name in _CELLS:
        value, lowest = cell[name], (0.0 if name == "weight_bytes" else _SMALLEST_MS)
        if type(value) is not float or not lowest <= value < math.inf:
            raise DamagedFileError(f"latency table {path}: {name} of {key!r} is {value!r}; {_ADVICE}")
