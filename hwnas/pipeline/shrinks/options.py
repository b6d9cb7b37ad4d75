"""The options of `hwnas shrink`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval, Len

from hwnas.runs.checks import require_allowed
from hwnas.runs.definition import Option
from hwnas.runs.options import (
    Count,
    DatasetPlaceOptions,
    Device,
    Epochs,
    FolderOptions,
    Images,
    Place,
    Text,
    TrainingDeviceOptions,
)
from hwnas.runs.recipe_options import RecipeOptions
from targets.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ShrinkOptions(DatasetPlaceOptions, RecipeOptions, TrainingDeviceOptions, FolderOptions):
    """Which network is shrunk, to how many milliseconds, and how it learns again.

    source: a folder of `hwnas train`, RUN/ID of a search, torchvision:NAME or timm:NAME.
    """

    topic: ClassVar[str] = "What is shrunk"

    source: Text
    budget_ms: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option(
            "Milliseconds that a run may take on the target, repeatable: a network for each; default half "
            "of what the network takes, or halfway to the fastest that there is",
            repeated="budget-ms",
        ),
    ] = ()
    target: Annotated[Device, Option("Device that the network shall be fast on, a name or a TOML file")] = (
        "host"
    )
    dataset: Annotated[
        Images | None,
        Option("Images of a torchvision or timm network: a folder, a zip of one, or a known set"),
    ] = None
    weights: Annotated[
        Place,
        Option("Weights of a torchvision or timm network: .safetensors, or a state_dict as .pt or .pth"),
    ] = None
    epochs: Annotated[
        Epochs | None, Option("Epochs that each narrower network learns for; default by the number of images")
    ] = None
    batch_size: Annotated[
        Annotated[int, Interval(ge=2, le=8192)] | None,
        Option("Images per training step; default by the number of images"),
    ] = None
    images: Annotated[Count, Option("Validation images by which the loss of each width is judged")] = 256

    def __post_init__(self) -> None:
        require_allowed(self)
        if self.teacher is not None or self.teacher_weights is not None:
            raise UsageError("a network that is shrunk learns from the network that it was; name no teacher")
        self.budgets()

    def budgets(self) -> list[float]:
        """In milliseconds, the largest first; empty for the default."""
        texts = [text.strip() for given in self.budget_ms for text in given.split(",")]
        return sorted({_milliseconds(text) for text in texts}, reverse=True)


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise UsageError(f"--budget-ms {text!r} is no number of milliseconds above 0, as 5 or 2.5")
    return value
