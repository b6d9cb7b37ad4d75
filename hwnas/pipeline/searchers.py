"""The searchers: a row of defaults each, over the one loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwnas.gradient.method import Method as MethodRow
from hwnas.gradient.method_file import find_method
from hwnas.runs.options import MethodName, SpaceName

from .discrete_options import DiscreteSearcherOptions
from .gradient_search import run_search
from .results import SearchResult, TrainedArchitecture
from .searcher_options import SearcherOptions
from .single_training import train_architecture
from .training_options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Searcher(SearcherOptions):
    """A gradient search: `search()`, then `train_final_architecture()`."""

    def search(self) -> SearchResult:
        """Search, or go on with the same search, and return what was found."""
        return run_search(self)

    def train_final_architecture(
        self, architecture: str | SearchResult, epochs: int = 600, batch_size: int = 96
    ) -> TrainedArchitecture:
        """Train an architecture from scratch as the papers do, export it, and test it once."""
        return train_found(self, architecture, epochs, batch_size)


def train_found(
    searcher: SearcherOptions | DiscreteSearcherOptions,
    architecture: str | SearchResult,
    epochs: int,
    batch_size: int,
    **scale: Any,
) -> TrainedArchitecture:
    """The training of an architecture on the data of a searcher. scale: `cells` and `channels`."""
    return train_architecture(
        TrainingOptions(
            architecture=architecture.key if isinstance(architecture, SearchResult) else architecture,
            search_space=searcher.space_name,
            dataset=searcher.dataset,
            epochs=epochs,
            batch_size=batch_size,
            image_size=searcher.image_size,
            path=searcher.path,
            limit=searcher.limit,
            download=searcher.download,
            skip_broken=searcher.skip_broken,
            seed=searcher.seed,
            device=searcher.device,
            home=searcher.home,
            quiet=searcher.quiet,
            **scale,
        )
    )


@dataclass(frozen=True, kw_only=True)
class DARTSSearcher(Searcher):
    """Liu et al. 2019, first order; `method="darts-2"` for second order and so on."""


@dataclass(frozen=True, kw_only=True)
class PCDARTSSearcher(Searcher):
    """Xu et al. 2020: partial channels, edges normalised."""

    method: MethodName = "pc-darts"


@dataclass(frozen=True, kw_only=True)
class PDARTSSearcher(Searcher):
    """Chen et al. 2019: three stages; `cells` has no effect, each stage has its own depth."""

    method: MethodName = "p-darts"


@dataclass(frozen=True, kw_only=True)
class ENASSearcher(Searcher):
    """Pham et al. 2018: an LSTM controller; the settings of the macro space where that is searched."""

    method: MethodName = "enas"

    def row(self) -> MethodRow:
        """The row for micro or for macro."""
        macro = self.method == "enas" and self.space_name == "enas-macro"
        return find_method("enas-macro" if macro else self.method)


@dataclass(frozen=True, kw_only=True)
class ProxylessNASSearcher(Searcher):
    """Cai et al. 2019: binary gates in the space of MobileNetV2 blocks, latency of a device in the loss."""

    search_space: SpaceName = "proxyless"
    method: MethodName = "proxyless"
