"""The options of a discrete search by a searcher of the Python API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from hwnas.core.budget import Budget
from hwnas.front import STRATEGIES
from hwnas.front.strategy import StrategyRow
from hwnas.runs.checks import require_allowed
from hwnas.runs.definition import Named, Option
from hwnas.runs.options import (
    BatchSize,
    BudgetOptions,
    CellOptions,
    Count,
    DatasetOptions,
    Device,
    Epochs,
    FolderOptions,
    LatencyLimit,
    ProfileOptions,
    SpaceName,
    Text,
    TrainingDeviceOptions,
)
from targets.errors import UsageError

from .counts import EVALUATORS
from .spellings import data_spec, space_name


@dataclass(frozen=True, kw_only=True)
class DiscreteSearcherOptions(
    DatasetOptions, CellOptions, BudgetOptions, ProfileOptions, TrainingDeviceOptions, FolderOptions
):
    """What is searched, on what, how. What is not said here is said where a field is defined.

    strategy, strategy_options: a row of `hwnas strategies`, and options of it as `name=value`.
    evaluator: shared-weights, or short-training, which trains each architecture for `eval_epochs` epochs
        (None: at least 300 steps), in `workers` processes (None: one per core). What was trained before is
        read from the data home.
    search_epochs: of the shared weights, each step a random path.
    evaluations: how many architectures are scored.
    population: how many the strategy proposes at a time.
    objectives: what is optimised, as `val_accuracy` and `macs`; the architecture that is returned is the most
        accurate one inside the budgets.
    cells, channels: of the network that is deployed (cell spaces).
    latency_constraint: in milliseconds on `target_platform`.
    """

    search_space: SpaceName = "darts"
    strategy: Annotated[
        Text, Named("strategy"), Option("How the front is searched, see `hwnas strategies`")
    ] = "random"
    strategy_options: Annotated[
        tuple[str, ...], Option("Option NAME=VALUE of the strategy", repeated="strategy_option")
    ] = ()
    evaluator: Annotated[Text, Named("evaluator"), Option("How architectures are scored")] = "shared-weights"
    eval_epochs: Annotated[Epochs | None, Option("Epochs of a short training")] = None
    workers: Annotated[Count | None, Option("Training processes", free=True)] = None
    search_epochs: Annotated[int, Interval(ge=1), Option("Epochs of the shared weights")] = 50
    evaluations: Annotated[int, Interval(ge=1), Option("Architectures that are scored")] = 500
    population: Annotated[int, Interval(ge=1), Option("Architectures proposed at a time")] = 20
    objectives: Annotated[
        tuple[str, ...], Named("objective"), Option("What is optimised", repeated="objective")
    ] = ("val_accuracy",)
    batch_size: BatchSize = 64
    target_platform: Device = "host"
    latency_constraint: LatencyLimit = None

    def __post_init__(self) -> None:
        """Refuse values that are not allowed; the strategy's own options are read here too."""
        require_allowed(self)
        data_spec(self.dataset, self.path)
        self.row().read_options(self.named_options())
        if self.row().several_fidelities:
            raise UsageError(
                f"strategy {self.strategy!r} needs trainings of several lengths, which `hwnas search` has"
            )
        if self.eval_epochs is not None and not self.trains:
            raise UsageError("eval_epochs belongs to evaluator='short-training', not to shared weights")

    @property
    def trains(self) -> bool:
        """Whether architectures are scored by short trainings."""
        return EVALUATORS[self.evaluator].trains

    @property
    def space_name(self) -> str:
        """The search space under its own name."""
        return space_name(self.search_space)

    def row(self) -> StrategyRow:
        """The row of the table of strategies."""
        return STRATEGIES[self.strategy]

    def named_options(self) -> tuple[str, ...]:
        """`name=value` of the strategy; searchers with fields of their own add them."""
        return tuple(self.strategy_options)

    def all_budgets(self) -> list[Budget]:
        """The latency constraint, then the other budgets."""
        latency = [] if self.latency_constraint is None else [Budget("latency_ms", self.latency_constraint)]
        return [*latency, *map(Budget.parse, self.budgets)]
