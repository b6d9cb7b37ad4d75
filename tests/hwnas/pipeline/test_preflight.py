"""Options of a strategy that cannot be are refused at the door, before a run directory is made."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas.pipeline.planned_work import planned_work
from hwnas.pipeline.preflight import preflight
from hwnas.runs.config import SearchConfig
from targets.errors import TargetError, UsageError

HALVING = "successive-halving"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": HALVING, "strategy_options": ("eta=0",)}, "halving': eta must be at least 2, got 0"),
        ({"strategy": HALVING, "eval_epochs": 1}, "--eval-epochs of 2 or more"),
        ({"strategy": HALVING, "evaluator": "shared-weights"}, "give --evaluator short-training"),
        ({"strategy_options": ("n_start=0",)}, "'bo': n_start must be at least 1, got 0"),
        ({"strategy": "nsga2", "population": 1}, "'nsga2': population must be at least 2, got 1"),
        ({"strategy": "pnas"}, "those of space mobile do not grow"),
        ({"strategy": "pnas", "strategy_options": ("predictor=tree",)}, "mlp or lstm, got 'tree'"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight(SearchConfig(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--gpus needs shared weights; give --supernet-steps"),
        ({"supernet_steps": 0}, "--gpus needs shared weights; give --supernet-steps"),
        ({"evaluator": "shared-weights", "batch_size": 33}, "33 images cannot be shared equally by 2 proc"),
        ({"supernet_steps": 9, "device": "cpu"}, "--gpus 2 needs --device cuda; a training on cpu is of one"),
    ],
)
def test_gpus_that_would_do_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight(SearchConfig(gpus=2, **options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpus_that_are_not_here_are_refused() -> None:
    with pytest.raises(TargetError, match="--gpus 2: torch finds no CUDA device here"):
        preflight(SearchConfig(gpus=2, evaluator="shared-weights"))


def test_successive_halving_may_leave_the_epochs_open() -> None:
    preflight(SearchConfig(strategy=HALVING))


@pytest.mark.parametrize(
    ("data", "task", "message"),
    [
        ("gauges", "regression", r"the labels of regression \(one or several numbers per image\)"),
        ("shape-boxes", "detection", r"the labels of detection \(objects, each with a box\)"),
    ],
)
def test_smoothed_labels_are_refused_where_they_have_no_meaning(data: str, task: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"--label-smoothing: {message} are not smoothed; leave it out"):
        preflight(SearchConfig(data=data, task=task, label_smoothing=0.1))


def test_a_dry_run_refuses_changes_of_photos_for_windows() -> None:
    with pytest.raises(UsageError, match=r"--crop changes photos, .* and gestures has windows; leave it out"):
        planned_work(SearchConfig(data="gestures", crop=0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"teacher": "torchvision:resnet18", "teacher_weights": "w"},
            "reads images, and gestures has windows",
        ),
        ({"teacher": "largest", "teacher_weights": "w"}, "--teacher largest is trained by the search"),
        ({"teacher": "runs/gone/abc"}, "nothing that was trained"),
    ],
)
def test_a_dry_run_refuses_a_teacher_as_the_search_does(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned_work(SearchConfig(data="gestures", **options))


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        ({"data": "gauges", "task": "regression"}, "val_r2"),
        ({"data": "digits", "objectives": ("val_loss", "macs")}, "val_likelihood"),
    ],
)
def test_a_dry_run_names_the_objective_as_the_files_of_the_search_do(
    options: dict[str, Any], objective: str, tmp_path: Path
) -> None:
    config = SearchConfig(**options, image_size=16, workers=1, home=str(tmp_path))
    assert planned_work(config)["objectives"][0] == objective


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 1}, "--repeats 1: one split more says nothing"),
        (
            {"repeats": 3, "task": "language", "space": "recurrent", "data": "markov"},
            "--repeats: language splits a text",
        ),
        ({"repeats": 3, "continue_from": "runs/old"}, "--repeats trains the chosen network from new weights"),
        ({"task": "classification:digit", "data": "tilted"}, "one head; give two or more"),
        (
            {"task": "classification:digit+regression:tilt", "data": "tilted", "mixup": 0.2},
            "--mixup: for one class",
        ),
    ],
)
def test_repeats_and_heads_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight(SearchConfig(**options))
