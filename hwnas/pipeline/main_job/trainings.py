"""The trainings of a search as jobs: the short ones that score an architecture, those that end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hwnas.core.choice import Arch
from hwnas.core.samples import SampleKind
from hwnas.evaluators.identity import FRESH, evaluation_identity
from hwnas.evaluators.short_training import ShortTraining
from hwnas.evaluators.store import EvaluationStore
from hwnas.executors import Executor, OnProgress
from hwnas.networks.modes import safetensors_bytes
from hwnas.runs.config import SearchConfig
from hwnas.runs.search_run import SHORT_FOLDER
from hwnas.tasks import task_named
from hwnas.training.mobilenet import suited_recipe
from hwnas.training.presets import REGULARISED, changed
from hwnas.training.recipe import Recipe
from hwnas.training.training_job import read_result
from hwnas.training.workers import Trained, TrainingJob
from targets.files import sha256, write_atomic

from .run_context import RunContext

_STARTS = "starts"


def short_recipe(context: RunContext, fidelity: int = -1) -> Recipe:
    """Of the trainings that score architectures; those after the first fidelity go on from the one before."""
    epochs, n_train = context.eval_epochs, _n_train(context)
    fidelity %= len(epochs)
    recipe = (
        Recipe.short(n_train, epochs[0])
        if fidelity == 0
        else Recipe.going_on(n_train, epochs[fidelity] - epochs[fidelity - 1])
    )
    return replace(_fitting(context, recipe), **context.data.task.recipe)


def final_recipe(context: RunContext) -> Recipe:
    """Of picks and baselines: it goes on after a short training, or is the only one."""
    epochs = context.counts.train_epochs
    base = Recipe.going_on if context.trains else Recipe.for_data
    recipe = replace(_fitting(context, base(_n_train(context), epochs)), **context.data.task.recipe)
    return as_asked(recipe, context.config, context.data.kind)


def as_asked(recipe: Recipe, config: SearchConfig, kind: SampleKind) -> Recipe:
    """The recipe with what the options make of it. kind: of the samples."""
    adds = REGULARISED[config.recipe].adds(task_named(config.task), kind)
    return changed(replace(recipe, **adds), config)


def short_job(
    context: RunContext, arch_id: str, network: Mapping[str, Any], seed: int, fidelity: int = -1
) -> TrainingJob:
    """The short training of one network, to the last fidelity unless told. Those before are done."""
    epochs = context.eval_epochs
    fidelity %= len(epochs)
    start = None
    if fidelity > 0:
        before = short_job(context, arch_id, network, seed, fidelity - 1)
        earlier = read_result(before, context.path / SHORT_FOLDER)
        start = None if earlier is None else earlier.start
    elif starts_from_supernet(context):
        start = _supernet_start(context, arch_id, network)
    return _job(
        context,
        job_id=f"{arch_id}-s{seed}" + (f"-e{epochs[fidelity]}" if fidelity < len(epochs) - 1 else ""),
        network=network,
        recipe=suited_recipe(network, short_recipe(context, fidelity)),
        seed=seed,
        start=start,
    )


def final_job(
    context: RunContext,
    arch_id: str,
    network: Mapping[str, Any],
    seed: int,
    first: Trained | None,
    teacher: Mapping[str, Any] | None = None,
) -> TrainingJob:
    """The training that ends one network. first: what it goes on from, where there is that."""
    recipe = suited_recipe(network, final_recipe(context))
    return _job(
        context,
        job_id=f"{arch_id}-s{seed}",
        network=network,
        recipe=recipe if teacher else replace(recipe, distil=0.0),
        seed=seed,
        start=None if first is None else first.start,
        teacher=teacher,
    )


def arch_network(context: RunContext, key: str) -> dict[str, Any]:
    """What `build_network` reads, of an architecture of the space."""
    return {"space": context.space.spec(), "arch": key}


def short_trainings(
    context: RunContext,
    executor: Executor,
    *,
    seed: int | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> list[ShortTraining]:
    """The evaluators by short trainings, one per fidelity. seed: where it is not that of the run."""
    run_seed = context.config.seed if seed is None else seed
    space = context.space

    def job(fidelity: int, arch: Arch) -> TrainingJob:
        network = arch_network(context, space.key(arch))
        return short_job(context, space.arch_id(arch), network, run_seed, fidelity)

    evaluators: list[ShortTraining] = []
    for fidelity in range(len(context.eval_epochs)):
        evaluators.append(
            ShortTraining(
                costs=context.search_costs,
                job=partial(job, fidelity),
                folder=context.path / SHORT_FOLDER,
                executor=executor,
                store=evaluation_store(context, run_seed, fidelity),
                on_progress=on_progress,
                log=context.run.log.warn,
                before=evaluators[-1] if evaluators else None,
                score=context.score,
            )
        )
    return evaluators


def evaluation_store(context: RunContext, seed: int, fidelity: int = -1) -> EvaluationStore:
    """What earlier searches trained in the same way."""
    start = FRESH
    if starts_from_supernet(context):
        start = f"supernet {sha256(context.path / 'supernet.safetensors')}"
    fidelity %= len(context.eval_epochs)
    before = [short_recipe(context, i).to_json() for i in range(fidelity)]
    identity = evaluation_identity(
        space=context.space,
        data=context.data,
        recipe=short_recipe(context, fidelity).to_json() | ({"before": before} if before else {}),
        seed=seed,
        start=start,
        device=context.config.device,
        form=context.form_json,
    )
    names = (context.space.space_id, context.data.name)
    return EvaluationStore(context.home, names, identity, warn=context.run.log.warn)


def starts_from_supernet(context: RunContext) -> bool:
    """Whether a short training begins with the shared weights."""
    return context.config.eval_start == "supernet"


def _supernet_start(context: RunContext, arch_id: str, network: Mapping[str, Any]) -> dict[str, str] | None:
    """The shared weights of an architecture as a file; None for a network that is not of the space."""
    if "arch" not in network:
        return None
    path = context.path / SHORT_FOLDER / _STARTS / f"{arch_id}.safetensors"
    raw = safetensors_bytes(context.supernet.extract(context.space.from_string(network["arch"])))
    if not path.exists() or sha256(path) != sha256(raw):
        write_atomic(path, raw)
    return {"file": str(path.resolve()), "sha256": sha256(raw)}


def _job(context: RunContext, *, recipe: Recipe, **fields: Any) -> TrainingJob:
    return TrainingJob(
        data=context.job_data,
        recipe=recipe.to_json(),
        device=context.config.device,
        form=context.form_json,
        federated=None if context.federated is None else context.federated.federation.identity(),
        **fields,
    )


def _fitting(context: RunContext, recipe: Recipe) -> Recipe:
    """No batch is larger than the images there are."""
    wanted = context.config.batch_size or recipe.batch_size
    return replace(recipe, batch_size=min(wanted, _n_train(context)))


def _n_train(context: RunContext) -> int:
    return len(context.data.split("train"))
