"""The searchers: a row of defaults each, over the one loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwnas.core.budget import Budget
from hwnas.core.registry import Part, part
from hwnas.gradient.method import Method
from hwnas.gradient.method_file import find_method
from targets.errors import UsageError

from .results import SearchResult, TrainedArchitecture
from .spellings import space_name


@dataclass(frozen=True)
class Searcher:
    """A gradient search: `search()`, then `train_final_architecture()`.

    dataset: digits, cifar10, cifar100, mnist, fashion-mnist, imagenet (with `path`), or an image folder.
    search_space: `darts`, `nasbench201`, `mobile`, `proxyless`, `enas-macro`, also spelled `darts_space` and
        so on, or a TOML file.
    epochs, batch_size: None takes the published numbers of the method. method: any row of `hwnas methods`, or
        a TOML file. cells, channels: of the network that is searched (cell spaces); None: as published.
    target_platform: the device whose latency counts, as in `hwnas targets list`; `mobile` is `android`.
    latency_constraint: milliseconds there. budgets: others, as `size_mb<=4`. energy_table: CSV of key and
        energy_mj of every block, for a budget on `energy_mj`.
    accuracy_weight, latency_weight: with both, loss + latency_weight / accuracy_weight * (latency /
        constraint - 1) is minimised; with neither, the constraint is met by a multiplier that adapts. The
        architecture that is returned meets the constraint either way.
    path: of the images. limit: at most so many of them. val_share: part of the images that do not test which
        the policy learns from, the weights from the others; None: as published (half, for DARTS). home: of
        tables and data. out: of the run; the same search in the same folder goes on where it stopped.
        trackers: tensorboard, mlflow.
    bf16: convolutions in bfloat16, on CUDA only. compile: the cells through torch.compile, where edges mix.
    """

    dataset: str = "cifar10"
    search_space: str = "darts"
    epochs: int | None = None
    batch_size: int | None = None
    method: str = "darts"
    target_platform: str = "host"
    latency_constraint: float | None = None
    accuracy_weight: float | None = None
    latency_weight: float | None = None
    budgets: tuple[str, ...] = ()
    energy_table: str | Path | None = None
    cells: int | None = None
    channels: int | None = None
    image_size: int | None = None
    path: str | Path | None = None
    limit: int | None = None
    val_share: float | None = None
    download: bool = False
    seed: int = 0
    device: str = "cpu"
    bf16: bool = False
    compile: bool = False
    profile_minutes: float | None = None
    home: str | Path | None = None
    out: str | Path | None = None
    alpha_history: bool = False
    trackers: tuple[str, ...] = ()
    quiet: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "cells", "channels", "limit"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise UsageError(
                    f"{type(self).__name__}: {name} must be a whole number from 1, got {value!r}"
                )
        for name in ("latency_constraint", "accuracy_weight", "latency_weight", "val_share"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise UsageError(f"{type(self).__name__}: {name} must be a number, got {value!r}")
        if any(b.metric == "energy_mj" for b in self.all_budgets()) and self.energy_table is None:
            raise UsageError(f"{type(self).__name__}: a budget on energy_mj needs an energy_table")
        weights = (self.accuracy_weight, self.latency_weight)
        if (None in weights) != (weights == (None, None)):
            raise UsageError(f"{type(self).__name__}: give accuracy_weight and latency_weight together")
        accuracy, latency = weights
        if accuracy is not None and latency is not None and not (accuracy > 0 and latency >= 0):
            raise UsageError(
                f"{type(self).__name__}: accuracy_weight must be above 0 and latency_weight at least 0, got "
                f"{accuracy} and {latency}"
            )
        if self.latency_weight is not None and not self.all_budgets():
            raise UsageError(
                f"{type(self).__name__}: latency_weight needs a latency_constraint in milliseconds"
            )

    def search(self) -> SearchResult:
        """Search, or go on with the search of this very question, and return what was found."""
        from .gradient_search import run_search

        return run_search(self)

    def train_final_architecture(
        self, architecture: str | SearchResult, epochs: int = 600, batch_size: int = 96
    ) -> TrainedArchitecture:
        """Train an architecture from scratch as the papers do, export it, and test it once."""
        from .single_training import Training, train_architecture

        text = architecture.key if isinstance(architecture, SearchResult) else architecture
        return train_architecture(
            Training(
                architecture=text,
                search_space=self.space_name,
                dataset=self.dataset,
                epochs=epochs,
                batch_size=batch_size,
                image_size=self.image_size,
                path=self.path,
                limit=self.limit,
                download=self.download,
                seed=self.seed,
                device=self.device,
                home=self.home,
                quiet=self.quiet,
            )
        )

    @property
    def space_name(self) -> str:
        """The search space under its own name."""
        return space_name(self.search_space)

    def row(self) -> Method:
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


@dataclass(frozen=True)
class DARTSSearcher(Searcher):
    """Liu et al. 2019, first order; `method="darts-2"` for second order and so on."""


@dataclass(frozen=True)
class PCDARTSSearcher(Searcher):
    """Xu et al. 2020: partial channels, edges normalised."""

    method: str = "pc-darts"


@dataclass(frozen=True)
class PDARTSSearcher(Searcher):
    """Chen et al. 2019: three stages; `cells` has no effect, each stage has its own depth."""

    method: str = "p-darts"


@dataclass(frozen=True)
class ENASSearcher(Searcher):
    """Pham et al. 2018: an LSTM controller; the settings of the macro space where that is searched."""

    method: str = "enas"

    def row(self) -> Method:
        """The row for micro or for macro."""
        macro = self.method == "enas" and self.space_name == "enas-macro"
        return find_method("enas-macro" if macro else self.method)


@dataclass(frozen=True)
class ProxylessNASSearcher(Searcher):
    """Cai et al. 2019: binary gates in the space of MobileNetV2 blocks, latency of a device in the loss."""

    search_space: str = "proxyless"
    method: str = "proxyless"
