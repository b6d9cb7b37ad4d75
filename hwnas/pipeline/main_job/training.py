"""Picks and baselines trained from scratch, side by side, with one recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwnas.pipeline.stages import Outcome
from hwnas.training.recipe import Recipe
from hwnas.training.workers import Trained, TrainingFailed, TrainingJob, TrainingProgress, run_many

from .candidate import Candidate, Finalist
from .run_context import RunContext

FOLDER = "training"


def recipe(context: RunContext) -> Recipe:
    """The one recipe, with the epochs of the plan."""
    base = Recipe.for_data(len(context.data.split("train")), context.plan["train_epochs"])
    return replace(base, batch_size=min(base.batch_size, len(context.data.split("train"))))


def finalists(context: RunContext) -> list[Finalist]:
    """What is trained: picks, then random architectures, then MobileNetV3."""
    baselines = {
        kind: [Candidate.from_json(entry) for entry in entries]
        for kind, entries in context.result("baselines").items()
    }
    members = [*context.picks, *baselines["random"], *baselines["mobilenet_v3"]]
    return [finalist(context, candidate) for candidate in members]


def finalist(context: RunContext, candidate: Candidate) -> Finalist:
    """The candidate with its name in the run, and the network that it becomes."""
    if candidate.arch is not None:
        arch_id = context.space.arch_id(context.space.from_string(candidate.arch))
        network: dict[str, Any] = {"space": context.space.spec(), "arch": candidate.arch}
    else:
        shape = {k: context.result("splits")[k] for k in ("image_size", "in_channels", "n_classes")}
        arch_id = f"mobilenet_v3_small-{candidate.width:g}"
        network = {"baseline": "mobilenet_v3_small", "width": candidate.width, **shape}
    return Finalist(arch_id=arch_id, network=network, candidate=candidate)


def training_job(context: RunContext, network: Finalist, seed: int) -> TrainingJob:
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
        job_id=f"{network.arch_id}-s{seed}",
        network=network.network,
        data=data,
        recipe=recipe(context).to_json(),
        seed=seed,
        device=config.device,
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
    networks = finalists(context)
    outcomes = train_all(context, [training_job(context, n, context.config.seed) for n in networks])
    models = []
    for network, outcome in zip(networks, outcomes, strict=True):
        entry: dict[str, Any] = {"arch_id": network.arch_id, "failure": None}
        if isinstance(outcome, TrainingFailed):
            context.run.log.warn(f"{network.arch_id}: {outcome.reason}")
            entry["failure"] = outcome.reason
        else:
            entry |= {
                "val_accuracy": outcome.val_accuracy,
                "val_loss": outcome.val_loss,
                "cpu_s": outcome.cpu_s,
            }
            why = network.candidate.pick or network.candidate.origin
            context.run.log(f"{network.arch_id} ({why}): {outcome.val_accuracy:.4f}")
        models.append(entry)
    files = tuple(f"{FOLDER}/{o.folder.name}" for o in outcomes if isinstance(o, Trained))
    return Outcome({"recipe": recipe(context).to_json(), "models": models}, files)
