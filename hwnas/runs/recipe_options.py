"""The options of a training recipe, of `hwnas train` and of the picks of a search."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from .definition import Option, ReadAs
from .options import Place, Text

Share = Annotated[float, Interval(ge=0, le=1)]
Alpha = Annotated[float, Interval(ge=0, le=10)]


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What differs from the recipe that `--recipe` names; None: as the recipe says."""

    topic: ClassVar[str] = "Training recipe"

    lr: Annotated[
        Annotated[float, Interval(gt=0, le=100)] | None,
        Option("Peak learning rate; default by the number of images"),
    ] = None
    weight_decay: Annotated[Share | None, Option("Decay of the weights of layers; default of the recipe")] = (
        None
    )
    warmup_share: Annotated[
        Annotated[float, Interval(ge=0, le=0.9)] | None,
        Option("Share of all steps in which the rate rises; default of the recipe"),
    ] = None
    schedule: Annotated[
        str | None,
        ReadAs(Literal["cosine", "one-cycle"] | None),
        Option("How the rate falls: cosine or one-cycle; default of the recipe"),
    ] = None
    label_smoothing: Annotated[
        Annotated[float, Interval(ge=0, le=0.9)] | None, Option("Label smoothing; default of the recipe")
    ] = None
    clip: Annotated[
        Annotated[float, Interval(ge=0, le=1e6)] | None,
        Option("Largest norm of the gradient, 0 for any; default of the recipe"),
    ] = None
    ema: Annotated[
        Annotated[float, Interval(ge=0, le=0.99999)] | None,
        Option("Decay of the moving average of weights, which is kept; 0 for none; default of the recipe"),
    ] = None
    mixup: Annotated[Alpha | None, Option("Alpha of mixup, 0 for none; default of the recipe")] = None
    cutmix: Annotated[Alpha | None, Option("Alpha of cutmix, 0 for none; default of the recipe")] = None
    auto_augment: Annotated[
        str | None,
        ReadAs(Literal["none", "trivial", "rand"] | None),
        Option("Random operations on photos: none, trivial (TrivialAugment) or rand (RandAugment)"),
    ] = None
    crop: Annotated[
        Share | None,
        Option("Smallest share of a photo that a random resized crop shows, 0 for none; default none"),
    ] = None
    colour: Annotated[
        Share | None,
        Option("How far brightness, contrast and saturation of photos change, 0 for none; default none"),
    ] = None
    balance: Annotated[
        str | None,
        ReadAs(Literal["none", "weights", "sampling"] | None),
        Option("For classes of unequal size: none, weights (in the loss) or sampling; default none"),
    ] = None
    patience: Annotated[
        Annotated[int, Interval(ge=0, le=100_000)] | None,
        Option("Stop after so many epochs without a better validation accuracy, keep the best; default off"),
    ] = None
    teacher: Annotated[
        Text | None,
        Option(
            "Network to learn from: RUN/ID, a folder of `hwnas train`, FILE.onnx, torchvision:NAME, "
            "timm:NAME; in a search also `largest`, its own, which is trained first"
        ),
    ] = None
    teacher_weights: Annotated[
        Place, Option("Safetensors file of the weights of a torchvision or timm teacher")
    ] = None
    distil: Annotated[
        Share | None, Option("Share of the loss that is the distance to the teacher; default 0.5 with one")
    ] = None
    temperature: Annotated[
        Annotated[float, Interval(ge=0.1, le=100)] | None,
        Option("Divides the logits of that distance; default 4"),
    ] = None
    residual_init: Annotated[
        str | None,
        ReadAs(Literal["zero", "one"] | None),
        Option("Scale of residual branches at the start: zero or one; default of the recipe"),
    ] = None

    amp: Annotated[
        str | None,
        ReadAs(Literal["none", "bf16", "fp16"] | None),
        Option("Layers in 16 bits, meant for GPUs: none, bf16 or fp16 (CUDA alone); default none"),
    ] = None

    def recipe_changes(self) -> dict[str, Any]:
        """The fields of `Recipe` that are given, by name."""
        names = [f.name for f in dataclasses.fields(RecipeOptions) if not f.name.startswith("teacher")]
        changes = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.teacher is not None:
            changes.setdefault("distil", 0.5)
        return changes
