"""One gradient search without the rest of the main job: from a searcher's options to its result."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lut
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.costs.cost_model import CostModel
from hwnas.costs.energy import read_energy
from hwnas.data import Augment, Batches, Data
from hwnas.genotype import write_genotype
from hwnas.gradient.decode import require_reachable
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.speed import require_speed
from hwnas.gradient.stage_supernets import published_scale, require_fit, stage_supernets
from hwnas.runs.definition import free_on_resume
from hwnas.runs.identity import GRADIENT_SEARCH, Identity
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.training_device import on_found_device
from lut.home import data_home
from targets.checksummed import read_checksummed, write_checksummed
from targets.files import sha256

from .latency_tables import TargetDevice, latency_table
from .results import SearchResult
from .search_history import GENOTYPES, Recorder, check_trackers, read_alphas
from .search_history.alphas import write_histories
from .search_history.drawings import best_form
from .searcher_options import SearcherOptions
from .spellings import open_data, space_for, target_named
from .stages import Outcome, RunStage, run_loop, run_stages

RESULT = "result.json"
_STREAM = 2
"""Of the batches: other draws than those that train shared weights."""


@dataclass(frozen=True, kw_only=True)
class GradientSearchContext:
    """What the stages of a gradient search share.

    scale: of the network that is searched.
    """

    run: RunDir
    options: SearcherOptions
    space: NetworkSpace
    scale: Scale
    data: Data
    costs: CostModel


def run_search(options: SearcherOptions) -> SearchResult:
    """The search of the options, from its newest checkpoint where there is one."""
    options = on_found_device(options)
    method, home, log = options.row(), data_home(options.home), Log(quiet=options.quiet)
    check_trackers(options.trackers)
    target = target_named(options.target_platform)
    data = open_data(
        options.dataset, options.path, options.image_size, options.seed,
        home=home, limit=options.limit, download=options.download, skip_broken=options.skip_broken,
        val_share=method.published.val_share if options.val_share is None else options.val_share,
    )  # fmt: skip
    space = space_for(options.space_name, data)
    given = {k: v for k in ("cells", "channels") if (v := getattr(options, k)) is not None}
    scale = replace(published_scale(space, method), **given)
    require_fit(space, method, scale)
    require_speed(space, options.device, bf16=options.bf16, compiled=options.compile)
    budgets = options.all_budgets()
    table = None
    if any(b.metric == "latency_ms" for b in budgets):
        table, _ = latency_table(
            space,
            TargetDevice(target.folder, target),
            home=home,
            minutes=options.profile_minutes,
            seed=options.seed,
            log=log,
        )
    energy = None if options.energy_table is None else read_energy(Path(options.energy_table), space.blocks())
    costs = CostModel(space, table, energy)
    require_reachable(space, costs, budgets)
    identity = _identity(options, space, data, table, energy)
    name = f"{method.name}-{space.name}-{data.name}"
    path = identity.default_folder(name) if options.out is None else Path(options.out)
    with RunDir.enter(path, identity, log=log) as run:
        run_stages(
            STAGES,
            GradientSearchContext(run=run, options=options, space=space, scale=scale, data=data, costs=costs),
        )
        if options.alpha_history:
            write_histories(path, space, read_alphas(path / "alphas.npz", space))
        return SearchResult(**run.result("search"), folder=path)


def _identity(
    options: SearcherOptions,
    space: NetworkSpace,
    data: Data,
    table: lut.SpaceTable | None,
    energy: dict[str, float] | None,
) -> Identity:
    method = options.row()
    places = free_on_resume(SearcherOptions) | {"energy_table"}  # a table counts by what is in it
    values = {k: v for k, v in asdict(options).items() if k not in places} | {
        "method": method.name,
        "row": sha256(repr(method).encode()),
        "search_space": space.space_id,
        "budgets": [str(b) for b in options.all_budgets()],
        "data": data.name,
        "splits": sha256(json.dumps(data.splits_json(), sort_keys=True).encode()),
        "table": None if table is None else [table.context.hash, table.date],
    }
    return Identity(
        kind=GRADIENT_SEARCH, values=values | ({} if energy is None else {"energy_table": energy})
    )


def make_search(
    options: SearcherOptions,
    space: NetworkSpace,
    scale: Scale,
    data: Data,
    costs: CostModel,
    warn: Callable[[str], None] = lambda text: None,
) -> GradientSearch:
    """The search of the options, with the published numbers of the method where they give none."""
    method, augment = options.row(), Augment.for_data(data)
    published, seed = method.published, options.seed * 16 + _STREAM
    train, val = (
        Batches(data, split, options.batch_size or published.batch_size, seed, augment, options.device)
        for split in ("train", "val")
    )
    epochs = options.epochs or published.epochs
    settings = SearchSettings(
        steps=epochs * train.steps_per_epoch,
        epoch_steps=train.steps_per_epoch,
        seed=options.seed,
        # A search of the published length has the published rate, a shorter one what lets its policy move.
        arch_lr=method.arch.lr if epochs >= published.epochs else None,
        objective=options.objective(),
        bf16=options.bf16,
        compile=options.compile,
        graphs=not options.no_graphs,
        ranked=0,  # the decoding of the paper, not the best of some samples
    )
    return GradientSearch(
        space=space,
        supernet=stage_supernets(space, scale),
        costs=costs,
        budgets=options.all_budgets(),
        method=method,
        train=train,
        val=val,
        settings=settings,
        task=data.task,
        device=options.device,
        warn=warn,
    )


def _search(context: GradientSearchContext) -> Outcome:
    """Write the history of the search and result.json; a result of before is read."""
    run, options = context.run, context.options
    files = (RESULT, "alphas.npz", "train_stats.csv", GENOTYPES)
    if (run.path / RESULT).exists():
        return Outcome(read_checksummed(run.path / RESULT, "search result"), files)
    search = make_search(options, context.space, context.scale, context.data, context.costs, run.log.warn)
    if search.how_on_gpu:
        run.log(search.how_on_gpu)
    facts = {"data": options.dataset, "seed": options.seed}
    with Recorder(run.path, search, options, facts=facts) as recorder:
        run_loop(run, "search", search, recorder.on_step)
        recorder.write()
    run.log(f"search by {search.method.name} is done after {search.loop.step} steps")
    document = _document(search)
    write_checksummed(run.path / RESULT, document)
    return Outcome(document, files)


def _document(search: GradientSearch) -> dict[str, Any]:
    """The fields of `SearchResult`, but for the folder."""
    space, best = search.space, search.seeds(1)[0].arch
    return {
        "architecture": write_genotype(space, best, best_form(space)),
        "key": space.key(best),
        "method": search.method.name,
        "search_space": space.name,
        "val_accuracy": search.log[-1]["val_accuracy"],
        "costs": {metric: float(values[0]) for metric, values in search.costs.of([best]).items()},
        "epochs": len(search.log),
    }


STAGES: tuple[RunStage[GradientSearchContext], ...] = (
    # The weights after the last step stay: what a method decodes by them can be looked at.
    RunStage(name="search", does="gradient search", work=_search, keeps_checkpoints=True),
)
"""One, so far."""
