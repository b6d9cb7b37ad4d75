"""The trainings of a search as jobs: the short ones that score an architecture, those that end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwnas.core.choice import Arch
from hwnas.evaluators.identity import FRESH, evaluation_identity
from hwnas.evaluators.short_training import OnProgress, ShortTraining
from hwnas.evaluators.store import EvaluationStore
from hwnas.executors import Executor
from hwnas.networks.modes import safetensors_bytes
from hwnas.training.mobilenet import suited_recipe
from hwnas.training.recipe import Recipe
from hwnas.training.workers import Trained, TrainingJob
from targets.files import sha256, write_atomic

from .run_context import RunContext

SHORT_FOLDER, FINAL_FOLDER = "evaluations", "training"
"""Of the jobs, in the run directory."""
_STARTS = "starts"


def short_recipe(context: RunContext) -> Recipe:
    """Of the trainings that score architectures."""
    return _fitting(context, Recipe.short(_n_train(context), context.counts.eval_epochs))


def final_recipe(context: RunContext) -> Recipe:
    """Of picks and baselines: it goes on after a short training, or is the only one."""
    epochs = context.counts.train_epochs
    if context.trains:
        return _fitting(context, Recipe.going_on(_n_train(context), epochs))
    return _fitting(context, Recipe.for_data(_n_train(context), epochs))


def short_job(context: RunContext, arch_id: str, network: Mapping[str, Any], seed: int) -> TrainingJob:
    """The short training of one network."""
    return _job(
        context,
        job_id=f"{arch_id}-s{seed}",
        network=network,
        recipe=suited_recipe(network, short_recipe(context)),
        seed=seed,
        start=_supernet_start(context, arch_id, network) if starts_from_supernet(context) else None,
    )


def final_job(
    context: RunContext, arch_id: str, network: Mapping[str, Any], seed: int, short: Trained | None
) -> TrainingJob:
    """The training that ends one network. short: its short training, where there was one."""
    return _job(
        context,
        job_id=f"{arch_id}-s{seed}",
        network=network,
        recipe=suited_recipe(network, final_recipe(context)),
        seed=seed,
        start=None if short is None else short.start,
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
) -> ShortTraining:
    """The evaluator by short trainings. seed: of the trainings where it is not that of the run."""
    run_seed = context.config.seed if seed is None else seed
    space = context.space

    def job(arch: Arch) -> TrainingJob:
        return short_job(context, space.arch_id(arch), arch_network(context, space.key(arch)), run_seed)

    return ShortTraining(
        costs=context.costs,
        job=job,
        folder=context.path / SHORT_FOLDER,
        executor=executor,
        store=evaluation_store(context, run_seed),
        on_progress=on_progress,
        log=context.run.log.warn,
    )


def evaluation_store(context: RunContext, seed: int) -> EvaluationStore:
    """What earlier searches trained in the same way."""
    start = FRESH
    if starts_from_supernet(context):
        start = f"supernet {sha256(context.path / 'supernet.safetensors')}"
    identity = evaluation_identity(
        space=context.space,
        data=context.data,
        recipe=short_recipe(context).to_json(),
        seed=seed,
        start=start,
        device=context.config.device,
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
    data, device = context.job_data, context.config.device
    return TrainingJob(data=data, recipe=recipe.to_json(), device=device, **fields)


def _fitting(context: RunContext, recipe: Recipe) -> Recipe:
    """No batch is larger than the images there are."""
    wanted = context.config.batch_size or recipe.batch_size
    return replace(recipe, batch_size=min(wanted, _n_train(context)))


def _n_train(context: RunContext) -> int:
    return len(context.data.split("train"))
