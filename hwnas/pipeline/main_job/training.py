"""Picks and baselines trained to the end, side by side, with one recipe.

After a search by short trainings each goes on from the weights of its short training. Where those are not
here (a baseline, which had none, or an evaluation that an earlier search stored) the short training is made
first, so that all are trained alike. In a search that goes on from a finished one (`continuation`) each goes
on from its weights there. Where `--minutes` leaves time, all train on together once more (`plan_longer`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.executors import Executor, Progress
from hwnas.federated.rounds import FederatedTraining
from hwnas.pipeline.earlier_training import longer_job
from hwnas.pipeline.stages import Outcome
from hwnas.pipeline.teachers import LARGEST, teacher_of
from hwnas.runs.search_run import FINAL_FOLDER, LONGER_FOLDER, SHORT_FOLDER
from hwnas.training.training_job import RESULT, read_result
from hwnas.training.workers import Trained, TrainingFailed, TrainingJob, run_many
from targets.errors import TargetError

from .baselines import KINDS
from .candidate import Candidate, Finalist
from .continuation import accuracy_before, earlier_of, earlier_trainings, read_earlier
from .progress import TrainingBar, training_bar
from .replan import longer_epochs, plan_epochs, plan_longer, rest_s, trainings_s
from .run_context import RunContext
from .trainings import (
    arch_network,
    final_job,
    final_recipe,
    short_job,
    short_recipe,
)

Outcomes = dict[str, Trained | TrainingFailed]
"""By the name of the network."""


def finalists(context: RunContext) -> list[Finalist]:
    """What is trained: picks, then the baselines."""
    by_kind = context.result("baselines")
    baselines = [Candidate.from_json(entry) for kind in KINDS for entry in by_kind.get(kind, ())]
    members = [*context.picks, *baselines]
    return [finalist(context, candidate) for candidate in members]


def finalist(context: RunContext, candidate: Candidate) -> Finalist:
    """The candidate with its name in the run, and the network that it becomes."""
    if candidate.arch is not None:
        arch_id = context.space.arch_id(context.space.from_string(candidate.arch))
        network = arch_network(context, candidate.arch)
    else:
        shape = context.network_shape
        arch_id = f"mobilenet_v3_small-{candidate.width:g}"
        network = {"baseline": "mobilenet_v3_small", "width": candidate.width, **shape}
    return Finalist(arch_id=arch_id, network=network, candidate=candidate)


def train_finalists(context: RunContext, networks: Sequence[Finalist], seed: int) -> list[Outcomes]:
    """Their trainings in order: the first ones, the final ones, and longer ones where time is left.

    After a search by shared weights there are no first ones. A network that failed is not in those after it.
    """
    with context.executor() as executor:
        first = _first_trainings(context, networks, seed, executor)
        known = context.path / FINAL_FOLDER
        is_new = not any((known / f"{n.arch_id}-s{seed}" / RESULT).exists() for n in networks)
        began_s = context.clock.spent_s
        final = _final_trainings(context, networks, seed, executor, first)
        took_s = context.clock.spent_s - began_s if is_new else None
        return [first, final, _longer_trainings(context, executor, final, took_s)]


def _longer_trainings(
    context: RunContext, executor: Executor, final: Outcomes, took_s: float | None
) -> Outcomes:
    """Of all that were trained to the end, in the time that is left. took_s: for that."""
    trained = {name: outcome for name, outcome in final.items() if isinstance(outcome, Trained)}
    if not plan_longer(context, len(trained), took_s):
        return {}
    jobs = {name: _longer(context, outcome) for name, outcome in trained.items()}
    return _train(context, executor, "longer trainings", jobs, context.path / LONGER_FOLDER)


def _longer(context: RunContext, trained: Trained) -> TrainingJob:
    return longer_job(trained, longer_epochs(context), trained.job.device)


def _final_trainings(
    context: RunContext, networks: Sequence[Finalist], seed: int, executor: Executor, first: Outcomes
) -> Outcomes:
    starts = {name: outcome for name, outcome in first.items() if isinstance(outcome, Trained)}
    final: Outcomes = {}
    for wave in waves(context, networks):
        jobs = {
            n.arch_id: final_job(
                context, n.arch_id, n.network, seed, starts.get(n.arch_id), teacher_for(context, n, seed)
            )
            for n in wave
            if n.arch_id in starts or not first
        }
        final |= _train(context, executor, "training", jobs, context.path / FINAL_FOLDER)
    return final


def _first_trainings(
    context: RunContext, networks: Sequence[Finalist], seed: int, executor: Executor
) -> Outcomes:
    """What the final trainings go on from, if anything."""
    if context.config.continue_from is not None:
        jobs = {n.arch_id: final_job(context, n.arch_id, n.network, seed, None) for n in networks}
        return earlier_trainings(context, jobs, seed)
    if context.trains:
        if missing := _without_short(context, networks, seed):
            names = ", ".join(n.arch_id for n in missing)
            context.run.log(f"first the short training of {names}, whose weights are not in this run")
        short: Outcomes = {}
        for fidelity in range(len(context.eval_epochs)):
            jobs = {
                n.arch_id: short_job(context, n.arch_id, n.network, seed, fidelity)
                for n in networks
                if not isinstance(short.get(n.arch_id), TrainingFailed)
            }
            short |= _train(context, executor, "short trainings", jobs, context.path / SHORT_FOLDER)
        return short
    return {}


def _without_short(
    context: RunContext, networks: Sequence[Finalist], seed: int | None = None
) -> list[Finalist]:
    """Those whose short training is needed and not done in this run."""
    if not context.trains or context.config.continue_from is not None:
        return []
    seed = context.config.seed if seed is None else seed
    folder = context.path / SHORT_FOLDER
    return [n for n in networks if not (folder / f"{n.arch_id}-s{seed}" / RESULT).exists()]


def read_final(context: RunContext, network: Finalist, seed: int) -> Trained | None:
    """What the last training of a network left; None where there is nothing."""
    return next(reversed(read_finals(context, network, seed)), None)


def read_finals(context: RunContext, network: Finalist, seed: int) -> list[Trained]:
    """What the final training of a network left and, where it trained on, what that did."""
    trained = read_planned(context, network, seed)
    if trained is None or not longer_epochs(context):
        return [] if trained is None else [trained]
    longer = read_result(_longer(context, trained), context.path / LONGER_FOLDER)
    return [] if longer is None else [trained, longer]


def read_planned(context: RunContext, network: Finalist, seed: int) -> Trained | None:
    """What the final training of a network left, before it trained on."""
    first = None
    if context.trains or context.config.continue_from is not None:
        first = read_first(context, network, seed)
        if first is None:
            return None
    teacher = teacher_for(context, network, seed)
    job = final_job(context, network.arch_id, network.network, seed, first, teacher)
    return read_result(job, context.path / FINAL_FOLDER)


def waves(context: RunContext, networks: Sequence[Finalist]) -> list[list[Finalist]]:
    """Networks that are trained side by side: first the one that teaches the others, where one does."""
    if context.config.teacher != LARGEST:
        return [list(networks)]
    first = largest(context)
    return [
        wave for wave in ([n for n in networks if n == first], [n for n in networks if n != first]) if wave
    ]


def largest(context: RunContext) -> Finalist:
    """The pick of the most MACs, which is the teacher of `--teacher largest`."""
    return max(
        (finalist(context, pick) for pick in context.picks), key=lambda n: n.candidate.predicted["macs"]
    )


def teacher_for(context: RunContext, network: Finalist, seed: int) -> dict[str, Any] | None:
    """What the network learns from, as a job holds it; None where it learns from the images alone."""
    config = context.config
    if config.teacher != LARGEST:
        return teacher_of(config.teacher, config.teacher_weights, context.data)
    first = largest(context)
    trained = None if network == first else read_planned(context, first, seed)
    return None if trained is None else {"network": dict(first.network), **trained.start}


def read_first(context: RunContext, network: Finalist, seed: int) -> Trained | None:
    """What the final training of a network goes on from."""
    if context.config.continue_from is not None:
        return read_earlier(context, network.arch_id, seed)
    job = short_job(context, network.arch_id, network.network, seed)
    return read_result(job, context.path / SHORT_FOLDER)


def train_models(context: RunContext) -> Outcome:
    """The result lists every network with its validation accuracy, or why it failed."""
    networks = finalists(context)
    plan_epochs(context, len(_without_short(context, networks)), len(networks))
    rounds = train_finalists(context, networks, context.config.seed)
    models, files = [], []
    for network in networks:
        tried = [outcomes[network.arch_id] for outcomes in rounds if network.arch_id in outcomes]
        models.append(_entry(context, network, rounds[0].get(network.arch_id), tried))
        if isinstance(tried[-1], Trained):
            files += [f"{t.folder.parent.name}/{t.folder.name}" for t in tried if isinstance(t, Trained)]
    require_a_pick(context, networks, {entry["arch_id"]: entry["failure"] or "" for entry in models})
    recipes: dict[str, Any] = {"recipe": final_recipe(context).to_json()}
    if context.trains:
        recipes["short_recipe"] = short_recipe(context).to_json()
    return Outcome({**recipes, "models": models}, tuple(files))


def require_a_pick(context: RunContext, networks: Sequence[Finalist], failures: Mapping[str, str]) -> None:
    """TargetError where every pick has a failure: the stage is not done, and the next attempt tries again."""
    of_picks = [failures.get(n.arch_id, "") for n in networks if n.candidate.pick]
    if all(of_picks):
        raise TargetError(
            f"none of the picks ({len(of_picks)}) could be trained and exported: {of_picks[0]}; free "
            f"memory or take --workers 1, then go on with: hwnas search --resume {context.path}"
        )


def _entry(
    context: RunContext,
    network: Finalist,
    first: Trained | TrainingFailed | None,
    tried: Sequence[Trained | TrainingFailed],
) -> dict[str, Any]:
    """The network in the result. first: what its final training went on from; tried: all, in order."""
    outcome = tried[-1]
    entry: dict[str, Any] = {"arch_id": network.arch_id, "failure": None}
    if isinstance(outcome, TrainingFailed):
        context.run.log.warn(f"{network.arch_id}: {outcome.reason}")
        return {**entry, "failure": outcome.reason}
    score = context.score
    cpu_s, before = sum(t.cpu_s for t in tried if isinstance(t, Trained)), ""
    if isinstance(first, Trained) and context.config.continue_from is not None:
        earlier = earlier_of(context, network.arch_id)
        entry |= {k: earlier[k] for k in ("short_val_accuracy",) if k in earlier}
        before_accuracy = accuracy_before(context, first, network.arch_id)
        entry["earlier_val_accuracy"] = before_accuracy
        # Of the earlier search only the last of its trainings is here; its entry has them all.
        cpu_s, before = cpu_s - first.cpu_s + earlier["cpu_s"], f", {before_accuracy:.4f} before"
    elif isinstance(first, Trained):
        entry["short_val_accuracy"] = first.scored(score)
    why = network.candidate.pick or network.candidate.origin
    scores = {"val_accuracy": outcome.scored(score), "val_loss": outcome.val_loss}
    context.run.log(f"{network.arch_id} ({why}): {scores['val_accuracy']:.4f}{before}")
    return {**entry, **scores, "cpu_s": cpu_s}


def _train(
    context: RunContext, executor: Executor, name: str, jobs: Mapping[str, TrainingJob], folder: Path
) -> Outcomes:
    """Train side by side under one progress bar."""
    todo = [job for job in jobs.values() if not (job.folder(folder) / RESULT).exists()]
    later_s = rest_s(context, "training")
    if folder.name == SHORT_FOLDER:
        later_s += trainings_s(context, [context.counts.train_epochs] * len(jobs))
    planned_s = trainings_s(context, [job.recipe["epochs"] for job in todo])
    with training_bar(context, name, len(jobs), rest_s=later_s, forecast_s=planned_s) as bar:
        if context.federated is not None:
            return _train_on_parts(context, executor, jobs, folder, bar)
        outcomes = run_many(
            list(jobs.values()),
            folder,
            executor,
            on_progress=bar.on_progress,
            log=context.run.log.warn,
        )
    return dict(zip(jobs, outcomes, strict=True))


def _train_on_parts(
    context: RunContext, executor: Executor, jobs: Mapping[str, TrainingJob], folder: Path, bar: TrainingBar
) -> Outcomes:
    """One after the other, because each takes all parts."""
    outcomes: Outcomes = {}
    for name, job in jobs.items():

        def on_round(done: int, total: int, job_id: str = job.job_id) -> None:
            bar.on_progress(Progress(job_id, done / total, os.getpid()))

        training = FederatedTraining(job, context.parts(executor), folder)
        outcomes[name] = read_result(job, folder) or training.run(on_round)
    return outcomes
