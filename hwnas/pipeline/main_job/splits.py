"""Which sample is in train, validation and test, fixed for the whole run."""

from __future__ import annotations

from typing import Any

from hwnas.core.network_space import head_option
from hwnas.pipeline.stages import Outcome
from hwnas.pipeline.teachers import teacher_of
from targets.files import write_json

from .run_context import RunContext
from .training import LARGEST


def split_data(context: RunContext) -> Outcome:
    """Write splits.json."""
    data = context.data
    if context.config.teacher != LARGEST:  # told now, not after all the short trainings
        teacher_of(context.config.teacher, context.config.teacher_weights, data)
    write_json(context.path / "splits.json", data.splits_json())
    sizes = {name: len(data.split(name)) for name in ("train", "val", "test")}
    context.run.log(
        f"{data.name}: {data.task.outputs_in_words(data.n_classes)}, {data.image_size} px, "
        f"{data.in_channels} channel(s); " + ", ".join(f"{n} {name}" for name, n in sizes.items())
    )
    if context.checked_cluster is not None:  # before the device is measured, in which workers have no part
        context.run.log("its workers have the same images")
    shape: dict[str, Any] = {
        "image_size": data.image_size,
        "in_channels": data.in_channels,
        "n_classes": data.n_classes,
    }
    shape |= head_option(data.task.head)
    return Outcome({"name": data.name, **sizes, **shape}, ("splits.json",))
