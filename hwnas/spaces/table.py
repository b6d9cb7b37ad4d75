"""A table of known results as a space: a CSV file, and a TOML file of the same name that says what is in it.

    choices = ["kernel", "depth"]                  # columns; their values are the options
    objectives = ["val_accuracy", "latency_ms"]    # default: val_accuracy and the first cost
    seconds = "train_s"                            # what an evaluation takes, for the clock
    same_as = "iso"                                # the row (from 0) that is the same network
    [metrics]
    val_accuracy = { column = "accuracy_percent", scale = 0.01 }
    latency_ms = "latency"
    [fidelities.12]                                # what else is known, by name
    seconds = "train12_s"
    val_accuracy = { column = "accuracy12", scale = 0.01 }

Of these, `choices` and `metrics` are needed. Every row is one architecture; rows may be missing, not doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hwnas.core.arrays import Array
from hwnas.core.budget import METRICS, base_metric
from hwnas.core.choice import Arch, Choice
from hwnas.core.space import Space
from targets.errors import DamagedFileError, UsageError, did_you_mean
from targets.files import sha256
from targets.toml_file import read_toml

from .definition import different_names, known, need

_KEYS = ("choices", "objectives", "seconds", "same_as", "metrics", "fidelities")
_ADVICE = (
    'it says what the columns of the table are: choices = ["COLUMN", …] and [metrics] with '
    'val_accuracy = "COLUMN", …'
)


class TableSpace(Space):
    """The architectures of a table, which need not be all that the choices allow.

    rows: per row the options, as numbers (n, choices). same_as: per row the row that is the same network.
    """

    def __init__(self, name: str, choices: Sequence[Choice], rows: NDArray[np.int64], same_as: Sequence[int]):
        super().__init__(name, choices)
        self._archs: list[Arch] = [tuple(row) for row in rows.tolist()]
        self._row_of = {arch: i for i, arch in enumerate(self._archs)}
        self._same_as = list(same_as)

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self._archs)

    def valid(self, arch: Arch) -> bool:
        """Whether it is in the table."""
        return tuple(arch) in self._row_of

    def row(self, arch: Arch) -> int:
        """The row of an architecture of the table."""
        return self._row_of[tuple(arch)]

    def canonical(self, arch: Arch) -> Arch:
        """The architecture that the table says is the same network; itself where it is not in the table."""
        row = self._row_of.get(tuple(arch))
        return tuple(arch) if row is None else self._archs[self._same_as[row]]

    def _draw(self, rng: np.random.Generator) -> Arch:
        return self._archs[int(rng.integers(len(self._archs)))]

    def _settle(self, arch: NDArray[np.int64], source: Arch, rng: np.random.Generator) -> Arch:
        """`arch` where it is in the table, else `source`, which is."""
        settled = tuple(int(i) for i in arch)
        return settled if settled in self._row_of else tuple(int(i) for i in source)

    def enumerate(self) -> Iterator[Arch]:
        """Every network once."""
        return iter(dict.fromkeys(map(self.canonical, self._archs)))


@dataclass(frozen=True)
class ResultsTable:
    """A space and what is known of each of its rows.

    objectives: what a search of it optimises. metrics: by name (rows,). seconds: what an evaluation takes.
    checksum: of both files, and the fidelity.
    """

    space: TableSpace
    objectives: tuple[str, ...]
    metrics: Mapping[str, Array]
    seconds: Array
    checksum: str = ""

    def require(self, metric: str) -> None:
        """UsageError where a metric is not in the table."""
        if metric not in self.metrics:
            raise UsageError(
                f"the table {self.space.name} has no metric {metric!r}; {did_you_mean(metric, self.metrics)}"
            )

    def costs_of(self, archs: Sequence[Arch]) -> dict[str, Array]:
        """What is known before an evaluation: (n,) per cost."""
        rows = [self.space.row(self.space.canonical(a)) for a in archs]
        return {m: values[rows] for m, values in self.metrics.items() if base_metric(m) in METRICS}

    def __call__(self, archs: Sequence[Arch]) -> list[dict[str, float]]:
        """The metrics of architectures (`Evaluator`)."""
        rows = [self.space.row(self.space.canonical(a)) for a in archs]
        return [{m: float(values[row]) for m, values in self.metrics.items()} for row in rows]

    def seconds_of(self, archs: Sequence[Arch]) -> float:
        """How long the evaluations of these took when the table was made."""
        return float(sum(self.seconds[self.space.row(self.space.canonical(a))] for a in archs))


def load_table(text: str) -> ResultsTable:
    """The table of `FILE.csv`, or one of its fidelities, `FILE.csv@NAME`."""
    file, _, fidelity = text.partition(".csv@")
    path = Path(f"{file}.csv" if fidelity else file)
    if not path.is_file():
        raise UsageError(f"{path} does not exist; give the CSV file of the results as table:FILE.csv")
    schema_file = path.with_suffix(".toml")
    schema = _read_schema(schema_file)
    where = str(schema_file)
    columns: dict[str, Any] = dict(need(schema, "metrics", dict, where))
    seconds = schema.get("seconds")
    if fidelity:
        fidelities = schema.get("fidelities", {})
        if fidelity not in fidelities:
            hint = did_you_mean(fidelity, fidelities) if fidelities else "it has none"
            raise UsageError(f"{where}: no fidelity {fidelity!r}; {hint}")
        columns |= {k: v for k, v in fidelities[fidelity].items() if k != "seconds"}
        seconds = fidelities[fidelity].get("seconds", seconds)
    frame = _read_rows(path)
    names = different_names(schema, "choices", where)
    space = _space(path, frame, names, schema.get("same_as"))
    metrics = {m: _metric(frame, m, column, where, str(path)) for m, column in columns.items()}
    spent = np.zeros(len(frame)) if seconds is None else _numbers(frame, seconds, "seconds", str(path))
    checksum = sha256(f"{sha256(path)} {sha256(schema_file)} {fidelity}".encode())
    return ResultsTable(space, _objectives(schema, metrics, where), metrics, spent, checksum)


def load_fidelities(text: str) -> tuple[list[ResultsTable], list[float]]:
    """The fidelities of `FILE.csv`, the cheapest first and the whole table last, and prices of evaluations.

    A price is the mean of the seconds, in units of those at the last.
    """
    whole = load_table(text)
    schema_file = Path(text).with_suffix(".toml")
    names = list(_read_schema(schema_file).get("fidelities", {})) if ".csv@" not in text else []
    if not names:
        raise UsageError(
            f"{schema_file if '.csv@' not in text else text} has one fidelity, and the strategy needs "
            f"several; describe them as [fidelities.NAME] with seconds and the columns that differ, or "
            f"choose another strategy"
        )
    tables = [*(load_table(f"{text}@{name}") for name in names), whole]
    means = [float(table.seconds.mean()) for table in tables]
    if min(means) <= 0 or max(means[:-1]) >= means[-1]:
        raise UsageError(
            f"{schema_file}: every fidelity needs `seconds` above 0 and below those of the whole table, got "
            f"means of {', '.join(f'{mean:g}' for mean in means)}"
        )
    order = sorted(range(len(tables)), key=means.__getitem__)
    return [tables[i] for i in order], [means[i] / means[-1] for i in order]


def _read_schema(path: Path) -> dict[str, Any]:
    schema = read_toml(path, "description of the table", _ADVICE)
    known(schema, _KEYS, str(path))
    return schema


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DamagedFileError(f"{path} is no CSV table: {error}") from None
    if frame.empty:
        raise DamagedFileError(f"{path} has no rows")
    return frame


def _column(frame: pd.DataFrame, name: Any, what: str, path: str) -> pd.Series[Any]:
    if name not in frame.columns:
        columns = list(map(str, frame.columns))
        raise UsageError(f"{path} has no column {name!r} for {what}; {did_you_mean(str(name), columns)}")
    column: pd.Series[Any] = frame[name]
    return column


def _numbers(frame: pd.DataFrame, name: Any, what: str, path: str) -> Array:
    """A column of finite numbers."""
    column = _column(frame, name, what, path)
    values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = str(column.iloc[bad[0]])
        raise DamagedFileError(
            f"{path}, line {bad[0] + 2}, column {name}: {cell!r} is no finite number; complete the table, or "
            f"leave the row out"
        )
    return values


def _metric(frame: pd.DataFrame, metric: str, column: Any, where: str, path: str) -> Array:
    """A metric as the schema says: the name of a column, or a table of `column` and `scale`."""
    scale = 1.0
    if isinstance(column, dict):
        known(column, ("column", "scale"), where, f"metrics.{metric}.")
        factor = column.get("scale", 1.0)
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            raise UsageError(f"{where}: metrics.{metric}.scale must be a number, got {factor!r}")
        scale, column = float(factor), column.get("column")
    values: Array = _numbers(frame, column, metric, path) * scale
    top = 1.0 if "accuracy" in metric else np.inf
    bad = np.flatnonzero((values < 0) | (values > top))
    if len(bad):
        raise DamagedFileError(
            f"{path}, line {bad[0] + 2}: {metric} is {values[bad[0]]:g}, outside of 0 to {top:g}; "
            f"percent need scale = 0.01 in {where}"
        )
    return values


def _space(path: Path, frame: pd.DataFrame, names: Sequence[str], same_as: Any) -> TableSpace:
    texts = [_column(frame, name, "a choice", str(path)).astype(str) for name in names]
    codes, choices = [], []
    for name, column in zip(names, texts, strict=True):
        missing = np.flatnonzero(frame[name].isna())
        if len(missing):
            raise DamagedFileError(f"{path}, line {missing[0] + 2}, column {name}: the option is missing")
        options = sorted(column.unique(), key=_as_number)
        if bad := [o for o in options if ":" in o or "/" in o]:
            raise DamagedFileError(f"{path}, column {name}: option {bad[0]!r} holds ':' or '/'; rename it")
        codes.append(column.map({o: i for i, o in enumerate(options)}).to_numpy(dtype=np.int64))
        choices.append(Choice(name, tuple(options)))
    rows = np.stack(codes, axis=1)
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        row = rows[first[counts > 1][0]]
        lines = np.flatnonzero((rows == row).all(axis=1))[:2] + 2
        raise DamagedFileError(f"{path}: lines {lines[0]} and {lines[1]} are the same architecture; keep one")
    same = range(len(frame))
    if same_as is not None:
        numbers = _numbers(frame, same_as, "same_as", str(path)).astype(np.int64)
        if numbers.min() < 0 or numbers.max() >= len(frame) or (numbers[numbers] != numbers).any():
            raise DamagedFileError(f"{path}, column {same_as}: not every number is a row that is its own")
        same = numbers.tolist()
    return TableSpace(path.stem, choices, rows, same)


def _as_number(option: str) -> tuple[float, str]:
    try:
        return float(option), option
    except ValueError:
        return np.inf, option


def _objectives(schema: Mapping[str, Any], metrics: Mapping[str, Array], where: str) -> tuple[str, ...]:
    if "objectives" in schema:
        objectives = different_names(schema, "objectives", where)
    else:
        costs = [m for m in metrics if base_metric(m) in METRICS]
        objectives = tuple(m for m in ("val_accuracy", "val_loss") if m in metrics)[:1] + tuple(costs[:1])
    for name in objectives:
        if name not in metrics:
            raise UsageError(f"{where}: objective {name!r} is no metric; {did_you_mean(name, metrics)}")
    return objectives
