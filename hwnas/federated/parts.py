"""The file of `--federated`: where the parts of the data lie, and how the rounds go.

local_epochs = 1                # of each part in a round
min_parts = 3                   # fewer end the training, which can go on; default more than half
wait_s = 600                    # of a round; parts that take longer are left out of it

[parts.north]
data = "/data/photos"           # as the worker sees it
labels = "/data/labels.csv"     # where the folder has no class folders

[parts.south]
data = "/data/photos"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.core.declared import number, typed
from targets.errors import UsageError, did_you_mean
from targets.files import safe_name, user_path
from targets.toml_file import read_toml

_KEYS = ("local_epochs", "min_parts", "wait_s", "parts")
_PART_KEYS = {"data": "spec", "labels": "labels_csv", "label_column": "label_columns"}
"""Keys of a part, and what `load_data` calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPart:
    """A part of the data. data: what `load_data` is told of it, as its worker sees it."""

    name: str
    data: Mapping[str, Any]

    @property
    def resource(self) -> str:
        """What the Dask worker that holds the part offers (`dask worker --resources`)."""
        return f"part-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """Who learns together, and how.

    parts: in the order of their names. local_epochs: passes over a part in each round.
    min_parts: whose weights a round needs. wait_s: for the parts of a round.
    """

    parts: tuple[DataPart, ...]
    local_epochs: int
    min_parts: int
    wait_s: float

    def identity(self) -> dict[str, Any]:
        """What decides the result, for a job."""
        return {
            "local_epochs": self.local_epochs,
            "parts": {part.name: dict(part.data) for part in self.parts},
        }


def read_federation(path: Path) -> Federation:
    """The parts that a TOML file names. Whether a part is there, only its worker knows."""
    values, where = read_toml(path, "federation"), f"federation {path}"
    for key in values:
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown key {key!r}; {did_you_mean(key, _KEYS)}")
    tables = typed(values.get("parts", {}), dict, f"{where}: parts")
    if len(tables) < 2:
        raise UsageError(
            f"{where} names {len(tables)} part(s), and averaging needs two: write [parts.NAME] with "
            'data = "FOLDER" for each'
        )
    parts = tuple(_part(name, tables[name], where, path.parent) for name in sorted(tables))
    return Federation(
        parts=parts,
        local_epochs=_count(values.get("local_epochs", 1), 1000, f"{where}: local_epochs"),
        min_parts=_count(values.get("min_parts", len(parts) // 2 + 1), len(parts), f"{where}: min_parts"),
        wait_s=_seconds(values.get("wait_s", 600.0), f"{where}: wait_s"),
    )


def _part(name: str, value: Any, where: str, folder: Path) -> DataPart:
    where = f"{where}: parts.{name}"
    if safe_name(name) != name:
        raise UsageError(f"{where}: a name of letters, digits, '-' and '_' is wanted")
    table = typed(value, dict, where)
    for key in table:
        if key not in _PART_KEYS:
            raise UsageError(f"{where}: unknown key {key!r}; {did_you_mean(key, _PART_KEYS)}")
    if "data" not in table:
        raise UsageError(f'{where} needs data = "FOLDER", as its worker sees it')
    texts = {key: str(typed(text, str, f"{where}.{key}")) for key, text in table.items()}
    data: dict[str, Any] = {"spec": _place(texts["data"], folder)}
    if "labels" in texts:
        data["labels_csv"] = _place(texts["labels"], folder)
    if "label_column" in texts:
        data["label_columns"] = [texts["label_column"]]
    return DataPart(name=name, data=data)


def _place(text: str, folder: Path) -> str:
    """Relative places are meant from the file, where the parts are of this machine."""
    return str((folder / user_path(text)).absolute())


def _count(value: Any, most: int, where: str) -> int:
    if not 1 <= typed(value, int, where) <= most:
        raise UsageError(f"{where} is {value}; allowed: 1 to {most}")
    return int(value)


def _seconds(value: Any, where: str) -> float:
    if not 1 <= number(value, where) <= 1e6:
        raise UsageError(f"{where} is {value}; allowed: 1 to 1,000,000")
    return float(value)
