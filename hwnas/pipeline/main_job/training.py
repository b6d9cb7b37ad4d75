"""Stage 9: picks and baselines trained from scratch, side by side, with one recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwnas.pipeline.stages import Outcome
from hwnas.training.recipe import Recipe
from hwnas.training.workers import Trained, TrainingFailed, TrainingJob, TrainingProgress, run_many

from .run_context import RunContext

FOLDER = "training"


def recipe(context: RunContext) -> Recipe:
    """The one recipe, with the epochs of the plan."""
    base = Recipe.for_data(len(context.data.split("train")), context.plan["train_epochs"])
    return replace(base, batch_size=min(base.batch_size, len(context.data.split("train"))))


def networks_to_train(context: RunContext) -> list[dict[str, Any]]:
    """Picks, then random architectures, then MobileNetV3: name, network and what is known of each."""
    space, baselines = context.space.spec(), context.result("baselines")
    shape = {k: context.result("splits")[k] for k in ("image_size", "in_channels", "n_classes")}
    rows = []
    for row in [*context.result("candidates")["picks"], *baselines["random"]]:
        arch_id = context.space.arch_id(context.space.from_string(row["arch"]))
        rows.append({**row, "arch_id": arch_id, "network": {"space": space, "arch": row["arch"]}})
    for row in baselines["mobilenet_v3"]:
        name = f"mobilenet_v3_small-{row['width']:g}"
        network = {"baseline": "mobilenet_v3_small", "width": row["width"], **shape}
        rows.append({**row, "arch_id": name, "arch": name, "network": network})
    return rows


def job(context: RunContext, row: dict[str, Any], seed: int) -> TrainingJob:
    """The training of one network with one seed."""
    config = context.config
    data: dict[str, Any] = {
        "spec": config.data,
        "image_size": context.data.image_size,
        "seed": config.seed,
        "root": str(context.home),
        "splits_file": str((context.path / "splits.json").resolve()),
    }
    if config.labels:
        data["labels_csv"] = config.labels
    return TrainingJob(
        f"{row['arch_id']}-s{seed}", row["network"], data, recipe(context).to_json(), seed, config.device
    )


def train_all(context: RunContext, jobs: list[TrainingJob]) -> list[Trained | TrainingFailed]:
    """Train in parallel processes under one progress bar."""
    done: dict[str, int] = {}
    with context.run.progress("training", 100 * len(jobs)) as bar:

        def on_progress(progress: TrainingProgress) -> None:
            now = int(100 * progress.share)
            bar.advance(now - done.get(progress.job_id, 0), progress.job_id)
            done[progress.job_id] = now

        return run_many(
            jobs,
            context.path / FOLDER,
            context.n_workers,
            on_progress=on_progress,
            log=context.run.log.warn,
        )


def train_models(context: RunContext) -> Outcome:
    """The result lists every network with its validation accuracy, or why it failed."""
    rows = networks_to_train(context)
    outcomes = train_all(context, [job(context, row, context.config.seed) for row in rows])
    models = []
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, TrainingFailed):
            context.run.log.warn(f"{row['arch_id']}: {outcome.reason}")
            models.append({"arch_id": row["arch_id"], "failure": outcome.reason})
        else:
            models.append(
                {"arch_id": row["arch_id"], "failure": None, "val_accuracy": outcome.val_accuracy,
                 "val_loss": outcome.val_loss, "cpu_s": outcome.cpu_s}
            )  # fmt: skip
            context.run.log(
                f"{row['arch_id']} ({row.get('pick') or row['origin']}): {outcome.val_accuracy:.4f}"
            )
    files = tuple(f"{FOLDER}/{o.folder.name}" for o in outcomes if isinstance(o, Trained))
    return Outcome({"recipe": recipe(context).to_json(), "models": models}, files)
