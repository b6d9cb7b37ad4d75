"""The recipe of picks and baselines: what `--recipe` names and single options change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas.core.samples import IMAGE, WINDOW
from hwnas.pipeline.counts import default_counts
from hwnas.pipeline.main_job.trainings import final_job, final_recipe, short_recipe
from hwnas.runs.config import load_config
from hwnas.tasks import CLASSIFICATION, REGRESSION, SEGMENTATION
from hwnas.training.presets import FEW, FEW_PHOTOS, STRONG, STRONG_LONGER, few_changes
from targets.errors import UsageError


def context_of(**options: Any) -> Any:
    config, _ = load_config(None, options)
    data = SimpleNamespace(
        split=lambda name: np.arange(900), image_size=32, n_classes=3, task=CLASSIFICATION, kind=IMAGE
    )
    counts = default_counts(config, 900, 1)
    facts = {"counts": counts, "eval_epochs": (counts.eval_epochs,), "trains": True, "form_json": None}
    where: dict[str, Any] = {"home": "home", "path": None, "job_data": {}, "federated": None}
    return SimpleNamespace(config=config, data=data, **where, **facts)


def test_a_strong_recipe_is_of_the_final_training_alone() -> None:
    plain, strong = context_of(), context_of(recipe="strong", ema=0.9)
    assert short_recipe(strong) == short_recipe(plain)
    recipe = final_recipe(strong)
    assert recipe.ema == 0.9 and recipe.auto_augment == STRONG["auto_augment"]
    assert recipe.epochs == STRONG_LONGER * final_recipe(plain).epochs
    assert final_recipe(plain).ema == 0 and final_recipe(plain).mixup == 0


def test_the_recipe_for_few_images_adds_what_samples_and_labels_bear() -> None:
    recipe = final_recipe(context_of(recipe="few"))
    assert (recipe.crop, recipe.colour, recipe.mixup) == (*FEW_PHOTOS.values(), FEW["mixup"])
    assert recipe.epochs == STRONG_LONGER * final_recipe(context_of()).epochs
    assert set(few_changes(CLASSIFICATION, WINDOW)) == set(FEW)
    assert "mixup" not in few_changes(REGRESSION, IMAGE)
    assert set(few_changes(SEGMENTATION, IMAGE)) == {"crop", "colour", "clip"}


def test_epochs_that_are_given_stay() -> None:
    assert final_recipe(context_of(recipe="strong", train_epochs=3)).epochs == 3


def test_a_network_without_a_teacher_does_not_distil(tmp_path: Any) -> None:
    context = context_of(teacher="largest", distil=0.7)
    context.path = tmp_path
    teacher = {"network": {}, "file": "w", "sha256": "s"}
    for given, share in ((None, 0.0), (teacher, 0.7)):
        job = final_job(context, "a", {"space": {}}, 0, None, given)
        assert (job.recipe["distil"], job.teacher) == (share, given)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"recipe": "best"}, "--recipe is 'best'; allowed: standard or strong or few"),
        ({"schedule": "linear"}, "--schedule is 'linear'; allowed: cosine or one-cycle"),
        ({"ema": 1.5}, "--ema is 1.5"),
        ({"balance": "both"}, "none or weights or sampling"),
    ],
)
def test_a_wrong_part_is_told_at_the_door(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        load_config(None, options)
