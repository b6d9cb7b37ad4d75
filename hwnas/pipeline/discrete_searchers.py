"""The discrete searchers: a row of defaults each, over the one discrete search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval

from hwnas.runs.definition import Option
from hwnas.runs.options import SpaceName, Text

from .discrete_options import DiscreteSearcherOptions
from .discrete_search import run_discrete_search
from .results import SearchResult, TrainedArchitecture
from .searchers import train_found


@dataclass(frozen=True, kw_only=True)
class DiscreteSearcher(DiscreteSearcherOptions):
    """A discrete search: `search()`, then `train_final_architecture()`."""

    def search(self) -> SearchResult:
        """Search, or go on with the same search, and return what was found."""
        return run_discrete_search(self)

    def train_final_architecture(
        self, architecture: str | SearchResult, epochs: int = 600, batch_size: int = 96
    ) -> TrainedArchitecture:
        """Train an architecture from scratch as the papers do, export it, and test it once."""
        return train_found(self, architecture, epochs, batch_size, cells=self.cells, channels=self.channels)


@dataclass(frozen=True, kw_only=True)
class PNASSearcher(DiscreteSearcher):
    """Liu et al. 2018: cells grow block by block, and an ensemble chooses which are scored.

    predictor_epochs: passes over the trials to fit the ensemble, once a round. beam: cells scored per round.
    """

    search_space: SpaceName = "pnas"
    strategy: Annotated[Text, Option("How the front is searched")] = "pnas"
    predictor_epochs: Annotated[int, Interval(ge=1), Option("To fit the predictor, once a round")] = 150
    beam: Annotated[int, Interval(ge=1), Option("Cells scored in each round after the first")] = 256
    evaluations: Annotated[int, Interval(ge=1), Option("Architectures that are scored")] = 1160

    def named_options(self) -> tuple[str, ...]:
        """The fields of its own, then those that are given by name."""
        own: dict[str, Any] = {"predictor_epochs": self.predictor_epochs, "beam": self.beam}
        return (*(f"{name}={value}" for name, value in own.items()), *self.strategy_options)

    def progressive_search(self) -> SearchResult:
        """The same as `search`."""
        return self.search()


@dataclass(frozen=True, kw_only=True)
class EvolutionSearcher(DiscreteSearcher):
    """Real et al. 2019: regularised evolution."""

    strategy: Annotated[Text, Option("How the front is searched")] = "evolution"


@dataclass(frozen=True, kw_only=True)
class BayesianSearcher(DiscreteSearcher):
    """A Gaussian process and the expected hypervolume improvement of accuracy and cost."""

    strategy: Annotated[Text, Option("How the front is searched")] = "bo"
    evaluations: Annotated[int, Interval(ge=1), Option("Architectures that are scored")] = 100
    population: Annotated[int, Interval(ge=1), Option("Architectures proposed at a time")] = 5
    objectives: Annotated[tuple[str, ...], Option("What is optimised", repeated="objective")] = (
        "val_accuracy",
        "macs",
    )


@dataclass(frozen=True, kw_only=True)
class RandomSearcher(DiscreteSearcher):
    """Li and Talwalkar 2019: random search with shared weights."""
