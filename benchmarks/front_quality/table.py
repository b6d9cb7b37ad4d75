"""NAS-Bench-201 as a space whose architectures have known errors and costs on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hwnas.core.choice import Arch
from hwnas.front.pareto import hypervolume, non_dominated
from hwnas.spaces import load_space
from hwnas.spaces.nasbench201 import NasBench201Space
from targets.errors import DamagedFileError, UsageError

Array = NDArray[np.float64]

EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")
COSTS = {"latency_ms": "", "params": "c10_params_M", "macs": "c100_flops_M"}
_LATENCY = "lat_ms_"


@dataclass(frozen=True)
class Table:
    """Rows of both files, in the same order."""

    accuracy: pd.DataFrame
    latency: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Table:
        """The two files of a folder; raises where they are not there or do not fit."""
        tables = []
        for name in ("accuracy.csv", "latency.csv"):
            if not (folder / name).is_file():
                raise UsageError(f"{folder / name} does not exist; give the folder of the two tables")
            tables.append(pd.read_csv(folder / name))
        accuracy, latency = tables
        if missing := {*EDGES, "iso_rep", "c10_val200", "c10_test200"} - {*accuracy.columns}:
            raise DamagedFileError(f"{folder}/accuracy.csv has no columns {', '.join(sorted(missing))}")
        if list(accuracy["idx"]) != list(latency["idx"]) or list(accuracy["idx"]) != list(
            range(len(accuracy))
        ):
            raise DamagedFileError(f"{folder}: the rows of the two tables are not 0, 1, … in both")
        return cls(accuracy, latency)

    @property
    def devices(self) -> list[str]:
        """In alphabetical order."""
        return sorted(c.removeprefix(_LATENCY) for c in self.latency.columns if c.startswith(_LATENCY))

    @cached_property
    def index(self) -> dict[Arch, int]:
        """The row of every architecture."""
        return {tuple(map(int, e)): i for i, e in enumerate(self.accuracy[list(EDGES)].to_numpy())}

    @cached_property
    def first(self) -> list[Arch]:
        """Per row the first architecture that is the same network."""
        archs = list(self.index)
        return [archs[i] for i in self.accuracy["iso_rep"]]


class TableSpace(NasBench201Space):
    """The space of the table, in which every network is one architecture."""

    def __init__(self, table: Table) -> None:
        space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
        assert isinstance(space, NasBench201Space)
        self._table = table
        super().__init__(space.operations, 4, space.scale, space.search_scale)

    def canonical(self, arch: Arch) -> Arch:
        """The first architecture of the table that is the same network."""
        return self._table.first[self._table.index[tuple(arch)]]


class Device:
    """Errors in 0..1 and costs of the networks of the table, one row per architecture.

    costs: those that are objectives. points: (rows, costs + 1), scaled to 0..1 over the whole table.
    """

    def __init__(self, table: Table, name: str, costs: Sequence[str]) -> None:
        if name not in table.devices:
            raise UsageError(f"no latencies of {name!r}; there are {', '.join(table.devices)}")
        self.table, self.name, self.costs = table, name, tuple(costs)
        columns = {m: table.accuracy[c] for m, c in COSTS.items() if c}
        columns["latency_ms"] = table.latency[_LATENCY + name]
        self.values = {m: np.asarray(columns[m], dtype=np.float64) for m in COSTS}
        self.error = 1 - table.accuracy["c10_val200"].to_numpy(dtype=np.float64) / 100
        self.test_accuracy = table.accuracy["c10_test200"].to_numpy(dtype=np.float64)
        raw = np.column_stack([*(self.values[m] for m in self.costs), self.error])
        self.points = (raw - raw.min(axis=0)) / np.ptp(raw, axis=0)
        self.networks = np.unique(table.accuracy["iso_rep"])

    @cached_property
    def space(self) -> TableSpace:
        """Whose canonical architectures are the networks."""
        return TableSpace(self.table)

    def price(self, archs: Sequence[Arch]) -> Mapping[str, Array]:
        """The exact costs, as a search may know them beforehand."""
        rows = [self.table.index[a] for a in archs]
        return {metric: values[rows] for metric, values in self.values.items()}

    @cached_property
    def _whole(self) -> float:
        points = self.points[self.networks]
        return hypervolume(points[non_dominated(points)], np.ones(points.shape[1]))

    def gap(self, rows: Sequence[int] | NDArray[np.int64]) -> float:
        """How much of the hypervolume of the true front is missing from that of the rows."""
        if not len(rows):
            return 1.0
        return 1 - hypervolume(self.points[list(rows)], np.ones(self.points.shape[1])) / self._whole

    def budget_ms(self, quantile: float) -> float:
        """A latency that this share of the networks keeps."""
        return float(np.quantile(self.values["latency_ms"][self.networks], quantile))

    def best_test_accuracy(self, limit_ms: float) -> float:
        """Percent, of all networks up to a latency."""
        inside = self.networks[self.values["latency_ms"][self.networks] <= limit_ms]
        return float(self.test_accuracy[inside].max())
