"""`hwnas train`: one architecture, from scratch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hwnas.pipeline.training_options import TrainingOptions
from targets.errors import UsageError

from .derived import takes_options
from .interrupted import resumable
from .options import DEFAULTS, JsonOption, QuietOption
from .output import print_json, print_table

_SPELT = {
    "architecture": "genotype",
    "dataset": "data",
    "search_space": "space",
    "continue_from": "continue|pick",
}
_OF_A_LONGER_TRAINING = {"continue_from", "epochs", "device", "gpus", "home", "out"}
"""What can be asked of a training that goes on."""


@takes_options(
    TrainingOptions,
    spelt=_SPELT,
    defaults={"dataset": DEFAULTS.data},
    omit=("path", "quiet"),
)
def train(
    given: dict[str, Any],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print what would be trained, and stop.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one architecture from scratch as the papers do, test it once, and export it checked.

    \b
    Examples:
      hwnas train --alphas runs/photos-host-1/alphas.npz --epoch 40 --space mobile --data photos/
      hwnas train --pick runs/photos-host-1/ID --epochs 100      longer, from its weights
      hwnas train --genotype "$(cat genotype.txt)" --space darts --data cifar10 --epochs 600
      hwnas train --genotype KEY --space mobile --data photos/ --recipe strong --teacher runs/photos-host-1/ID
      hwnas train --genotype KEY --space mobile --data ages.csv --task regression --label-column age
      hwnas train --genotype KEY --space mobile --data imagenet/ --gpus 8 --batch-size 1024

    Recipes: published has cutout, drop-path on a line up to 0.2, and the auxiliary head where the space has
    one; standard is that of a search; strong adds an average of the weights, mixup, cutmix, TrivialAugment.
    The same command goes on after a stop.
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    if "continue_from" in given and (others := given.keys() - _OF_A_LONGER_TRAINING):
        flags = ", ".join(sorted(f"--{_SPELT.get(name, name).replace('_', '-')}" for name in others))
        raise UsageError(f"{flags}: a training that goes on keeps its images and its recipe; leave it away")
    if "gpus" in given:
        given.setdefault("device", "cuda")
    options = TrainingOptions(**{"dataset": DEFAULTS.data, **given, "quiet": quiet})
    from hwnas.pipeline.single_training import prepare, train_architecture  # here: it loads torch

    if dry_run:
        return print_json(prepare(options).document())
    with resumable("the same command; what is trained stays"):
        trained = train_architecture(options)
    from hwnas.tasks import outward, task_named

    scores = {"val_accuracy": trained.val_accuracy, "test_accuracy": trained.test_accuracy}
    facts = {
        "architecture": trained.architecture,
        **outward(scores, task_named(trained.task)),
        **trained.costs,
        "epochs": trained.epochs,
        "folder": str(trained.folder),
        "onnx": str(trained.onnx),
    }
    return print_json(facts) if as_json else print_table(("what", "value"), facts.items())
