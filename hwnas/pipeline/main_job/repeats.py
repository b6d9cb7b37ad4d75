"""The chosen network trained anew on splits drawn anew: how much its accuracy owes to one split.

With few images the test images of one split say little, and a figure on them comes with a wide interval. Here
training and test images change places: the mean over the splits is surer, and its interval
(`intervals.corrected_resampled`) counts how far it moves with them. The architecture stays: it was chosen
with the images of the run, of which these test images are some, so the interval is that of its training.
Each training is as that of the picks, from fresh weights and without a teacher, for teachers and shared
weights of the run know images that are test images here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.data import eval_batches
from hwnas.data.resplits import resplits
from hwnas.executors import LocalExecutor
from hwnas.pipeline.stages import Outcome
from hwnas.runs.intervals import corrected_resampled
from hwnas.training.train import eval_batch, score
from hwnas.training.training_job import data_of
from hwnas.training.workers import Trained, TrainingFailed, TrainingJob, run_many
from targets.errors import UsageError
from targets.files import read_json, write_json

from .candidate import Finalist
from .progress import training_bar
from .replan import longer_epochs, rest_s, trainings_s
from .run_context import RunContext
from .training import finalists
from .trainings import final_job, short_job

FOLDER = "repeats"
_SEEDS = 1000
"""Between the seed of the run and those of its repeats, so that runs of neighbouring seeds share none."""


def repeat_chosen(context: RunContext) -> Outcome:
    """Write repeats/; the result has the figures, their mean and its interval, or is empty."""
    k = context.counts.repeats
    if not k:
        context.run.log("left out: no repeats: one split has images enough (--repeats)")
        return Outcome({})
    chosen = context.result("evaluation")["chosen"]
    network = next(n for n in finalists(context) if n.arch_id == chosen)
    seeds = [_SEEDS * (i + 1) + context.config.seed for i in range(k)]
    try:
        data = _split_anew(context, seeds)
    except UsageError as error:
        context.run.log.warn(f"no repeats: {error}")
        return Outcome({"failure": str(error)})
    outcomes = _train(context, network, seeds, data)
    trained = [(data[i], outcome) for i, outcome in enumerate(outcomes) if isinstance(outcome, Trained)]
    if len(trained) < 2:
        reason = next((o.reason for o in outcomes if isinstance(o, TrainingFailed)), "")
        context.run.log.warn(f"no repeats: {len(trained)} of {k} trainings came to their end: {reason}")
        return Outcome({"failure": reason})
    result = figures_of(context, chosen, trained)
    label = context.data.task.metric.label
    context.run.log(
        f"over {result['k']} splits drawn anew: test {label} {result['mean']:.4f} "
        f"({result['low']:.4f} to {result['high']:.4f})"
    )
    return Outcome(result, tuple(f"{FOLDER}/{outcome.folder.name}" for _, outcome in trained))


def _split_anew(context: RunContext, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The images of each repeat as a job names them."""
    options = {k: v for k, v in context.job_data.items() if k not in ("image_size", "splits_file")}
    stored = read_json(context.path / "splits.json", "the splits of the run")
    data = []
    for seed, document in zip(seeds, resplits(stored, seeds, **options), strict=True):
        path = context.path / FOLDER / f"splits-{seed}.json"
        write_json(path, document)
        data.append({**context.job_data, "splits_file": str(path.resolve())})
    return data


def _train(
    context: RunContext, network: Finalist, seeds: Sequence[int], data: Sequence[Mapping[str, Any]]
) -> list[Trained | TrainingFailed | None]:
    """The trainings of all repeats, phase by phase; side by side on this machine, whose images they are."""
    phases = [*range(len(context.eval_epochs)), None] if context.trains else [None]
    folder = context.path / FOLDER
    outcomes: list[Trained | TrainingFailed | None] = [None] * len(seeds)
    epochs = [context.counts.eval_epochs, context.counts.train_epochs, longer_epochs(context)]
    forecast = trainings_s(context, [sum(epochs)] * len(seeds))
    n_workers = os.cpu_count() or 1 if context.config.cluster else context.n_workers
    bars = training_bar(
        context, FOLDER, len(seeds) * len(phases), rest_s=rest_s(context, FOLDER), forecast_s=forecast
    )
    with LocalExecutor(n_workers, context.run.log.warn) as executor, bars as bar:
        for phase in phases:
            jobs = {
                i: _job(context, network, seeds[i], data[i], phase, before)
                for i, before in enumerate(outcomes)
                if not isinstance(before, TrainingFailed)
            }
            done = run_many(
                list(jobs.values()), folder, executor, on_progress=bar.on_progress, log=context.run.log.warn
            )
            for i, outcome in zip(jobs, done, strict=True):
                outcomes[i] = outcome
            bar.finish(len(seeds))
    return outcomes


def _job(
    context: RunContext,
    network: Finalist,
    seed: int,
    data: Mapping[str, Any],
    phase: int | None,
    before: Trained | None,
) -> TrainingJob:
    """A training of a repeat. phase: the fidelity of a short one; None for the final one."""
    name, spec = network.arch_id, network.network
    job = (
        final_job(context, name, spec, seed, None)
        if phase is None
        else short_job(context, name, spec, seed, phase)
    )
    n_train = len(read_json(Path(data["splits_file"]), "the splits of a repeat")["train"])
    recipe = {**job.recipe, "batch_size": min(job.recipe["batch_size"], n_train)}
    if phase is None:
        recipe["epochs"] += longer_epochs(context)
    return replace(
        job,
        job_id=f"{seed}-{'final' if phase is None else f'short-{phase}'}",
        data=data,
        recipe=recipe,
        start=None if before is None else before.start,
    )


def figures_of(
    context: RunContext, chosen: str, trained: Sequence[tuple[Mapping[str, Any], Trained]]
) -> dict[str, Any]:
    """As JSON: the score of the search on the test images of each split, the mean and its interval.

    chosen: identifier of the network. trained: per split its images as a job names them, and the training.
    """
    scores, sizes = [], []
    for spec, outcome in trained:
        data = data_of(spec)
        task = data.task.scored_by(context.data.task.metric.name)
        scores.append(score(outcome.module(), eval_batches(data, "test", eval_batch(data.area)), task)[0])
        sizes.append((len(data.split("train")), len(data.split("test"))))
    n_train, n_test = (sum(column) / len(sizes) for column in zip(*sizes, strict=True))
    low, high = corrected_resampled(scores, n_train, n_test)
    return {
        "arch_id": chosen,
        "k": len(scores),
        "scores": scores,
        "mean": sum(scores) / len(scores),
        "low": max(0.0, low),
        "high": min(1.0, high),
        "n_train": n_train,
        "n_test": n_test,
    }
