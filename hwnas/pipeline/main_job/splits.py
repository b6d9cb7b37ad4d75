"""Which sample is in train, validation and test, fixed for the whole run."""

from __future__ import annotations

from hwnas.pipeline.stages import Outcome
from hwnas.pipeline.teachers import LARGEST, teacher_of
from hwnas.training.recipe import Recipe
from hwnas.training.train import require_changes
from targets.files import write_json

from .run_context import RunContext
from .trainings import as_asked


def split_data(context: RunContext) -> Outcome:
    """Write splits.json."""
    data = context.data
    require_changes(as_asked(Recipe.for_data(1), context.config), data.name, data.kind)
    if context.config.teacher != LARGEST:  # told now, not after all the short trainings
        teacher_of(context.config.teacher, context.config.teacher_weights, data)
    write_json(context.path / "splits.json", data.splits_record())
    sizes = {name: len(data.split(name)) for name in ("train", "val", "test")}
    context.run.log(
        f"{data.name}: {data.task.outputs_in_words(data.n_classes)}, {data.image_size} {data.kind.unit}, "
        f"{data.in_channels} channel(s); " + ", ".join(f"{n} {name}" for name, n in sizes.items())
    )
    if context.checked_cluster is not None:  # before the device is measured, in which workers have no part
        context.run.log(f"its workers have the same {data.kind.plural}")
    return Outcome({"name": data.name, **sizes, **data.network_shape}, ("splits.json",))
