"""The options of the training of one architecture: `hwnas train`, `train_final_architecture`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from hwnas.runs.checks import require_allowed
from hwnas.runs.definition import Named, Option, ReadAs
from hwnas.runs.options import (
    CellOptions,
    Count,
    DatasetOptions,
    DatasetPlaceOptions,
    Epochs,
    FolderOptions,
    Place,
    SpaceName,
    Text,
    TrainingDeviceOptions,
)
from hwnas.runs.recipe_options import RecipeOptions
from hwnas.runs.search_options import LabelOptions, PartsOptions
from targets.errors import UsageError

from .spellings import data_spec


@dataclass(frozen=True, kw_only=True)
class TrainedNetworkOptions(DatasetPlaceOptions, CellOptions, TrainingDeviceOptions, FolderOptions):
    """What a training and an evaluation have in common."""

    search_space: SpaceName = "darts"
    epochs: Annotated[
        Epochs | None, Option("Epochs to train for; default 600, of other recipes by the number of images")
    ] = None
    batch_size: Annotated[
        Annotated[int, Interval(ge=2, le=8192)] | None,
        Option("Images per training step; default 96, of other recipes by the number of images"),
    ] = None

    def __post_init__(self) -> None:
        require_allowed(self)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(DatasetOptions, LabelOptions, PartsOptions, RecipeOptions, TrainedNetworkOptions):
    """What is trained, on what, how.

    One of `architecture`, `alphas` and `continue_from` says what; the last brings images and recipe too.
    epochs, batch_size: None as the recipe says. recipe: None for `published` of classes, else `standard`.
    """

    architecture: Annotated[
        Text | None, Option("The architecture: Genotype(...), a string of NAS-Bench-201, JSON or a key")
    ] = None
    alphas: Annotated[Place, Option("Instead of it, alphas.npz of a search")] = None
    epoch: Annotated[Count | None, Option("Epoch of the alphas, from 1; default the last")] = None
    method: Annotated[
        Text | None,
        Named("method"),
        Option("Method that decodes the alphas; default that of the run they lie in"),
    ] = None
    continue_from: Annotated[
        Place,
        Option(
            "Instead of it, go on from the weights of RUN/ID of a search, or of a folder of `hwnas train`"
        ),
    ] = None
    start_from: Annotated[
        Place,
        Option(
            "Weights to begin with: a safetensors file, RUN/ID, a folder of `hwnas train`, or "
            "RUN/supernet.safetensors of a search; a classifier of other classes is new"
        ),
    ] = None
    cluster: Annotated[
        Text | None,
        Option(
            "With --federated: tls://HOST:PORT of the Dask scheduler whose workers hold the parts, or a TOML "
            "file; default processes of this machine",
            free=True,
        ),
    ] = None
    gpus: Annotated[
        Annotated[int, Interval(ge=1, le=64)] | None,
        Option("Train on so many CUDA devices of this machine, which share each batch"),
    ] = None
    recipe: Annotated[
        str | None,
        ReadAs(Literal["published", "standard", "strong", "few"] | None),
        Option(
            "How it is trained: published (as the papers do; the default of classes), standard (as a search "
            "does; the default of other tasks), strong, or few (cropped, recoloured and mixed)"
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        data_spec(self.dataset, self.path)
        if sum(what is not None for what in (self.architecture, self.alphas, self.continue_from)) != 1:
            raise UsageError(
                "give either a genotype or the alphas of a search to train an architecture of, or what was "
                "trained before to train it longer"
            )
        if self.federated is not None and self.continue_from is not None:
            raise UsageError(
                "what was trained before goes on with the images that it had; to go on on parts of the data, "
                "give the genotype, and the weights to start from"
            )
        if self.federated is None and self.cluster is not None:
            raise UsageError("a cluster is for parts of the data; give the file of them as federated")
        if self.alphas is None and (self.epoch is not None or self.method is not None):
            raise UsageError("an epoch chooses among alphas, and a method decodes them; give the alphas too")
