"""The options of a gradient search by a searcher of the Python API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from hwnas.core.budget import Budget
from hwnas.core.registry import Part, part
from hwnas.gradient.method import Method as MethodRow
from hwnas.gradient.method_file import find_method
from hwnas.runs.checks import require_allowed
from hwnas.runs.definition import Option
from hwnas.runs.options import (
    BatchSize,
    BudgetOptions,
    CellOptions,
    DatasetOptions,
    Device,
    Epochs,
    FolderOptions,
    HistoryOptions,
    LatencyLimit,
    MethodName,
    ProfileOptions,
    SpaceName,
    SpeedOptions,
)
from targets.errors import UsageError

from .spellings import data_spec, space_name


@dataclass(frozen=True, kw_only=True)
class SearcherOptions(
    DatasetOptions, CellOptions, BudgetOptions, ProfileOptions, HistoryOptions, SpeedOptions, FolderOptions
):
    """What is searched, on what, how. What is not said here is said where a field is defined.

    dataset: scenes, digits, cifar10, cifar100, mnist, fashion-mnist, imagenet (with `path`), or an image
        folder.
    search_space: a name of `hwnas spaces`, also spelled `darts_space` and so on, or a TOML file.
    method: any row of `hwnas methods`, or a TOML file.
    cells, channels: of the network that is searched (cell spaces).
    target_platform: the device whose latency counts, as in `hwnas targets list`; `mobile` is `android`.
    accuracy_weight, latency_weight: with both, the search minimises
        loss + latency_weight / accuracy_weight * (latency / constraint - 1).
        With neither, a multiplier adapts until the constraint is met. The architecture that is returned meets
        the constraint either way.
    budgets: limits besides the latency constraint, as `size_mb<=4`.
    out: of the run; the same search in the same folder goes on where it stopped.
    """

    search_space: SpaceName = "darts"
    epochs: Annotated[Epochs | None, Option("Epochs of the search; default as published")] = None
    batch_size: Annotated[BatchSize | None, Option("Images per step; default as published")] = None
    method: MethodName = "darts"
    target_platform: Device = "host"
    latency_constraint: LatencyLimit = None
    accuracy_weight: Annotated[
        Annotated[float, Interval(gt=0, le=1e9)] | None, Option("Weight of the loss in the objective")
    ] = None
    latency_weight: Annotated[
        Annotated[float, Interval(ge=0, le=1e9)] | None, Option("Weight of the latency in the objective")
    ] = None
    val_share: Annotated[
        Annotated[float, Interval(gt=0, lt=1)] | None,
        Option("Part of the images that the policy learns from; default as published"),
    ] = None
    profile_minutes: Annotated[
        Annotated[float, Interval(ge=0, le=1440)] | None,
        Option("For measuring blocks where no table fits yet; 0: never", free=True),
    ] = None

    def __post_init__(self) -> None:
        require_allowed(self)
        data_spec(self.dataset, self.path)
        if any(b.metric == "energy_mj" for b in self.all_budgets()) and self.energy_table is None:
            raise UsageError(f"{type(self).__name__}: a budget on energy_mj needs an energy_table")
        weights = (self.accuracy_weight, self.latency_weight)
        if (None in weights) != (weights == (None, None)):
            raise UsageError(f"{type(self).__name__}: give accuracy_weight and latency_weight together")
        if self.latency_weight is not None and not self.all_budgets():
            raise UsageError(
                f"{type(self).__name__}: latency_weight needs a latency_constraint in milliseconds"
            )

    @property
    def space_name(self) -> str:
        """The search space under its own name."""
        return space_name(self.search_space)

    def row(self) -> MethodRow:
        """The row of the table of methods."""
        return find_method(self.method)

    def all_budgets(self) -> list[Budget]:
        """The latency constraint, then the other budgets."""
        latency = [] if self.latency_constraint is None else [Budget("latency_ms", self.latency_constraint)]
        return [*latency, *map(Budget.parse, self.budgets)]

    def objective(self) -> Part | None:
        """How costs enter; None as the method has it."""
        if self.accuracy_weight is None or self.latency_weight is None:
            return None
        return part("add", weight=self.latency_weight / self.accuracy_weight)
