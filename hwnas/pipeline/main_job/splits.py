"""Which sample is in train, validation and test, fixed for the whole run."""

from __future__ import annotations

from hwnas.core.samples import FEW_PER_CLASS
from hwnas.pipeline.federated_training import parts_in_words
from hwnas.pipeline.stages import Outcome
from hwnas.pipeline.teachers import require_teacher
from hwnas.runs.config import SearchConfig
from hwnas.training.recipe import Recipe
from hwnas.training.train import require_changes
from targets.files import write_json

from .run_context import RunContext
from .trainings import as_asked


def few_words(config: SearchConfig, images_per_class: float) -> str:
    """What to know and to do where there are few images, said before anything is trained."""
    helps = "; --repeats 5 tells how sure the accuracy is" if config.repeats == 0 else ""
    return (
        f"few images: {images_per_class:g} of a class (the median); a network learns little from them, and "
        f"the accuracy on a fifth of them is known roughly{helps}"
    )


def split_data(context: RunContext) -> Outcome:
    """Write splits.json."""
    data = context.data
    require_changes(as_asked(Recipe.for_data(1), context.config, data.kind), data.name, data.kind)
    require_teacher(context.config, data)  # told now, not after all the short trainings
    write_json(context.path / "splits.json", data.splits_record())
    sizes = {name: len(data.split(name)) for name in ("train", "val", "test")}
    context.run.log(
        f"{data.name}: {data.task.outputs_in_words(data.n_classes)}, {data.image_size} {data.kind.unit}, "
        f"{data.in_channels} channel(s); " + ", ".join(f"{n} {name}" for name, n in sizes.items())
    )
    if data.images_per_class < FEW_PER_CLASS and data.kind.dims:
        context.run.log.warn(few_words(context.config, data.images_per_class))
    if context.federated is not None:
        context.run.log(parts_in_words(context.federated.federation, data))
    elif context.checked_cluster is not None:  # before the device is measured, in which workers have no part
        context.run.log(f"its workers have the same {data.kind.plural}")
    return Outcome({"name": data.name, **sizes, **data.network_shape}, ("splits.json",))
