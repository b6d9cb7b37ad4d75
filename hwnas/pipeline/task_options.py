"""Options of a recipe that have no meaning for a task, refused before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from targets.errors import UsageError

if TYPE_CHECKING:
    from hwnas.runs.recipe_options import RecipeOptions
    from hwnas.tasks import Task
    from hwnas.training.recipe import Recipe


def require_fitting(task: Task, options: RecipeOptions, recipe: Recipe, *, strong: bool) -> None:
    """UsageError for what the task does not learn by.

    recipe: as the options make it. strong: whether the recipe of that name is asked for.
    """
    classes_only = {
        "--recipe strong (give --ema, --clip and the like one by one)": strong,
        "--mixup": recipe.mixup > 0,
        "--cutmix": recipe.cutmix > 0,
        "--teacher": options.teacher is not None,
        "--balance sampling": recipe.balance == "sampling",
    }
    asked = [option for option, is_asked in classes_only.items() if is_asked]
    if asked and not task.mixes:
        raise UsageError(
            f"{', '.join(asked)}: for one class per image, and {task.name} learns otherwise; leave it out"
        )
    if recipe.auto_augment != "none" and (task.planes or task.boxes):
        raise UsageError(
            f"--auto-augment {recipe.auto_augment} moves images and not their labels; leave it out: --crop "
            "and --colour change both alike"
        )
    if recipe.balance == "weights" and not task.weighs:
        raise UsageError(f"--balance weights: {task.name} has no classes that could be rare; leave it out")
    if options.label_smoothing and not task.smooths:
        raise UsageError(
            f"--label-smoothing: the labels of {task.name} ({task.does}) are not smoothed; leave it out"
        )
