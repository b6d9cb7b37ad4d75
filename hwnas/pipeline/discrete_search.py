"""One discrete search without the rest of the main job: a strategy that asks an evaluator."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from hwnas import supernets
from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.costs.energy import read_energy
from hwnas.data import Augment, Batches, Data
from hwnas.evaluators.identity import FRESH, evaluation_identity
from hwnas.evaluators.shared_weights import SharedWeights
from hwnas.evaluators.short_training import ShortTraining
from hwnas.evaluators.store import EvaluationStore
from hwnas.executors import Executor, LocalExecutor
from hwnas.front import Generational, Problem, make_strategy
from hwnas.genotype import write_genotype
from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.runs.definition import free_on_resume
from hwnas.runs.identity import DISCRETE_SEARCH, Identity
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.training_device import on_found_device
from hwnas.training.recipe import SHORT_STEPS, Recipe
from hwnas.training.training_job import TrainingJob
from lut.home import data_home
from targets.errors import InfeasibleError
from targets.files import sha256, write_atomic

from .discrete_options import DiscreteSearcherOptions
from .latency_tables import find_device, latency_table
from .results import SearchResult
from .search_history import write_stats
from .search_history.drawings import best_form
from .spellings import TARGETS, job_data, open_data, space_for
from .stages import Outcome, RunStage, run_loop, run_stages
from .stored_search import TRIALS, search_stored

WEIGHTS = "supernet.safetensors"
_STREAM = 1
"""Of the batches that train shared weights, as in the main job."""


@dataclass(frozen=True, kw_only=True)
class DiscreteSearchContext:
    """What the stages of a discrete search share."""

    run: RunDir
    options: DiscreteSearcherOptions
    space: NetworkSpace
    data: Data
    costs: CostModel
    problem: Problem

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.run.path


def run_discrete_search(options: DiscreteSearcherOptions) -> SearchResult:
    """The search of the options, from where it stopped where it was begun."""
    options = on_found_device(options)
    home, log = data_home(options.home), Log(quiet=options.quiet)
    data = open_data(
        options.dataset, options.path, options.image_size, options.seed,
        home=home, limit=options.limit, download=options.download, skip_broken=options.skip_broken,
    )  # fmt: skip
    given = {k: v for k in ("cells", "channels") if (v := getattr(options, k)) is not None}
    space = space_for(options.space_name, data, **given)
    problem = Problem.parse(options.objectives, options.all_budgets())
    table = None
    if "latency_ms" in problem.metrics:
        device = find_device(TARGETS.get(options.target_platform, options.target_platform), home)
        table, _ = latency_table(
            space, device, home=home, minutes=options.profile_minutes, seed=options.seed, log=log
        )
    energy = None if options.energy_table is None else read_energy(Path(options.energy_table), space.blocks())
    costs = CostModel(space, table, energy)
    places = free_on_resume(DiscreteSearcherOptions) | {"energy_table"}
    values = {k: v for k, v in asdict(options).items() if k not in places} | {
        "search_space": space.space_id,
        "budgets": [str(b) for b in problem.budgets],
        "data": data.name,
        "splits": sha256(json.dumps(data.splits_json(), sort_keys=True).encode()),
        "table": None if table is None else [table.context.hash, table.date],
        "energy_table": energy,
    }
    identity = Identity(kind=DISCRETE_SEARCH, values=json.loads(json.dumps(values)))
    name = f"{options.strategy}-{space.name}-{data.name}"
    path = identity.default_folder(name) if options.out is None else Path(options.out)
    with RunDir.enter(path, identity, log=log) as run:
        context = DiscreteSearchContext(
            run=run, options=options, space=space, data=data, costs=costs, problem=problem
        )
        make(context)  # what cannot be is refused before anything is trained
        run_stages(STAGES, context)
        return SearchResult(**run.result("search"), folder=path)


def make(context: DiscreteSearchContext) -> Generational:
    """The strategy, ready to be asked."""
    options = context.options
    return make_strategy(
        options.strategy,
        context.space,
        context.problem,
        population=options.population,
        seed=options.seed,
        costs_of=context.costs.of,
        **options.row().read_options(options.named_options()),
    )


def _train_shared(context: DiscreteSearchContext) -> Outcome:
    """Write supernet.safetensors and train_stats.csv; nothing where networks are trained one by one."""
    options, data = context.options, context.data
    if options.trains:
        return Outcome({"left_out": "architectures are scored by short trainings"})
    seed = options.seed * 16 + _STREAM
    batch_size = min(options.batch_size, len(data.split("train")))
    train = Batches(data, "train", batch_size, seed, Augment.for_data(data), options.device)
    warmup = Warmup(
        space=context.space,
        supernet=make_supernet(context.space, options.seed),
        train=train,
        settings=WarmupSettings(
            steps=options.search_epochs * train.steps_per_epoch,
            epoch_steps=train.steps_per_epoch,
            seed=options.seed,
        ),
        macs=lambda archs: context.costs.of(archs)["macs"],
        task=data.task,
        device=options.device,
    )
    run_loop(context.run, "supernet", warmup)
    tensors = {k: v.detach().cpu().contiguous() for k, v in warmup.supernet.state_dict().items()}
    write_atomic(context.path / WEIGHTS, save(tensors))
    write_stats(context.path, warmup.log)
    return Outcome({"steps": warmup.loop.step}, (WEIGHTS,))


def _search(context: DiscreteSearchContext) -> Outcome:
    """Write evaluated.json, generation by generation; its trials are read where the search goes on."""
    strategy = make(context)
    n_workers = context.options.workers or os.cpu_count() or 1
    with LocalExecutor(n_workers, context.run.log.warn) as executor:
        evaluator = _short_trainings(context, executor) if context.options.trains else _shared(context)
        search_stored(context.run, strategy, evaluator, context.options.evaluations)
    return Outcome(_document(context, strategy), (TRIALS,))


def _shared(context: DiscreteSearchContext) -> SharedWeights:
    options, net = context.options, supernets.make(context.space)
    net.load_state_dict(load_file(context.path / WEIGHTS))
    return SharedWeights.on(
        context.data, net.to(options.device), context.costs, seed=options.seed, device=options.device
    )


def _short_trainings(context: DiscreteSearchContext, executor: Executor) -> ShortTraining:
    options, data, space = context.options, context.data, context.space
    recipe, home = _short_recipe(context), data_home(options.home)
    identity = evaluation_identity(
        space=space,
        data=data,
        recipe=recipe.to_json(),
        seed=options.seed,
        start=FRESH,
        device=options.device,
    )

    def job(arch: Arch) -> TrainingJob:
        return TrainingJob(
            job_id=space.arch_id(arch),
            network={"space": space.spec(), "arch": space.key(arch)},
            data=job_data(options, data, home, options.seed),
            recipe=recipe.to_json(),
            seed=options.seed,
            device=options.device,
        )

    return ShortTraining(
        costs=context.costs,
        job=job,
        folder=context.path / "evaluations",
        executor=executor,
        store=EvaluationStore(home, (space.space_id, data.name), identity, warn=context.run.log.warn),
        log=context.run.log.warn,
    )


def _short_recipe(context: DiscreteSearchContext) -> Recipe:
    options, n_train = context.options, len(context.data.split("train"))
    recipe = replace(Recipe.for_data(n_train), batch_size=min(options.batch_size, n_train))
    return replace(recipe, epochs=options.eval_epochs or recipe.epochs_of(SHORT_STEPS, n_train))


def _document(context: DiscreteSearchContext, strategy: Generational) -> dict[str, Any]:
    """The fields of `SearchResult`, but for the folder."""
    space = context.space
    feasible = [trial for trial in strategy.history.trials if trial.feasible]
    if not feasible:
        budgets = ", ".join(map(str, context.problem.budgets)) or "what is asked"
        raise InfeasibleError(
            f"none of {len(strategy.history.trials)} architectures keeps {budgets}; loosen the budgets, or "
            f"raise evaluations"
        )
    best = max(feasible, key=lambda trial: trial.metrics["val_accuracy"])
    arch = space.from_string(best.arch)
    return {
        "architecture": write_genotype(space, arch, best_form(space)),
        "key": best.arch,
        "method": strategy.name,
        "search_space": space.name,
        "val_accuracy": best.metrics["val_accuracy"],
        "costs": {metric: float(values[0]) for metric, values in context.costs.of([arch]).items()},
        "epochs": _short_recipe(context).epochs if context.options.trains else context.options.search_epochs,
    }


STAGES: tuple[RunStage[DiscreteSearchContext], ...] = (
    RunStage(name="supernet", does="train the shared weights", work=_train_shared),
    RunStage(name="search", does="search the front", work=_search),
)
"""In order."""
