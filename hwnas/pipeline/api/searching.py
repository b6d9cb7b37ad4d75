"""One gradient search without the rest of the main job: from a searcher's fields to its result."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from hwnas.pipeline.preflight import check_device
from hwnas.pipeline.search_history import Recorder, Traces, check_trackers, read_alphas
from hwnas.pipeline.search_history.alphas import write_histories
from hwnas.pipeline.search_history.drawings import best_form
from hwnas.runs.checkpoints import Checkpoints
from hwnas.runs.log import Log
from hwnas.spaces import load_space
from lut.home import data_home
from targets.checksummed import read_checksummed, write_checksummed
from targets.files import sha256

from .folder import folder_of
from .names import open_data, target_named
from .prices import latency_table
from .results import SearchResult

if TYPE_CHECKING:
    import lut

    from .searchers import Searcher

STAGE, RESULT = "search", "result.json"
SAVE_EVERY = 100
"""Steps between checkpoints."""
_STREAM = 2
"""Of the batches: other draws than those that train shared weights."""
_PLACES = (
    *("home", "out", "path", "energy_table", "quiet", "download"),
    *("trackers", "alpha_history", "profile_minutes"),
)
"""Fields that say where things lie or what is shown, not what is searched."""


def run_search(asked: Searcher) -> SearchResult:
    """The search of `asked`, from its newest checkpoint where there is one."""
    method, home, log = asked.row(), data_home(asked.home), Log(quiet=asked.quiet)
    check_trackers(asked.trackers)
    check_device(asked.device)
    target = target_named(asked.target_platform)
    data = open_data(
        asked.dataset, asked.path, asked.image_size, asked.seed,
        home=home, limit=asked.limit, download=asked.download,
        val_share=method.published.val_share if asked.val_share is None else asked.val_share,
    )  # fmt: skip
    space = space_for(asked.space_name, data)
    given = {k: v for k in ("cells", "channels") if (v := getattr(asked, k)) is not None}
    scale = replace(published_scale(space, method), **given)
    require_fit(space, method, scale)
    require_speed(space, asked.device, bf16=asked.bf16, compiled=asked.compile)
    budgets = asked.all_budgets()
    table = None
    if any(b.metric == "latency_ms" for b in budgets):
        table = latency_table(
            space, target, home=home, minutes=asked.profile_minutes, seed=asked.seed, log=log
        )
    energy = None if asked.energy_table is None else read_energy(Path(asked.energy_table), space.blocks())
    costs = CostModel(space, table, energy)
    require_reachable(space, costs, budgets)
    question = _question(asked, space, data, table) | ({} if energy is None else {"energy_table": energy})
    with folder_of(question, f"{method.name}-{space.name}-{data.name}", asked.out) as folder:
        if (folder / RESULT).exists():
            if asked.alpha_history:
                write_histories(folder, space, read_alphas(folder / "alphas.npz", space))
            return _result(read_checksummed(folder / RESULT, "search result"), folder)
        search = _make(asked, space, scale, data, costs)
        _run(asked, search, folder, log)
        document = _document(search)
        write_checksummed(folder / RESULT, document)
        return _result(document, folder)


def _question(
    asked: Searcher, space: NetworkSpace, data: Data, table: lut.SpaceTable | None
) -> dict[str, Any]:
    """All that decides what is found, as JSON values."""
    method = asked.row()
    question = {k: v for k, v in asdict(asked).items() if k not in _PLACES}
    return question | {
        "method": method.name,
        "row": sha256(repr(method).encode()),
        "search_space": space.space_id,
        "budgets": [str(b) for b in asked.all_budgets()],
        "data": data.name,
        "splits": sha256(json.dumps(data.splits_json(), sort_keys=True).encode()),
        "table": None if table is None else [table.context.hash, table.date],
    }


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


def space_for(name: str, data: Data, **scale: Any) -> NetworkSpace:
    """The space of that name for images and classes of `data`."""
    return load_space(
        name, image_size=data.image_size, in_channels=data.in_channels, n_classes=data.n_classes, **scale
    )


def _make(asked: Searcher, space: NetworkSpace, scale: Scale, data: Data, costs: CostModel) -> GradientSearch:
    """The published numbers of the method, where the user gives none."""
    method, augment = asked.row(), Augment.for_data(data)
    published, seed = method.published, asked.seed * 16 + _STREAM
    train, val = (
        Batches(data, split, asked.batch_size or published.batch_size, seed, augment, asked.device)
        for split in ("train", "val")
    )
    epochs = asked.epochs or published.epochs
    settings = SearchSettings(
        steps=epochs * train.steps_per_epoch,
        epoch_steps=train.steps_per_epoch,
        seed=asked.seed,
        # A search of the published length has the published rate, a shorter one what lets its policy move.
        arch_lr=method.arch.lr if epochs >= published.epochs else None,
        objective=asked.objective(),
        bf16=asked.bf16,
        compile=asked.compile,
        ranked=0,  # the decoding of the paper, not the best of some samples
    )
    return GradientSearch(
        space,
        stage_supernets(space, scale),
        costs,
        asked.all_budgets(),
        method,
        train,
        val,
        settings,
        device=asked.device,
    )


def _run(asked: Searcher, search: GradientSearch, folder: Path, log: Log) -> None:
    checkpoints = Checkpoints(folder / "checkpoints", log.warn)
    found = checkpoints.load(STAGE)
    if found is not None:
        search.load(found[1], found[2])
        log(f"going on at step {search.loop.step} of {search.loop.steps}")
    traces = Traces(histories=asked.alpha_history, trackers=asked.trackers)
    with (
        Recorder(folder, search, traces, facts={"data": asked.dataset, "seed": asked.seed}) as recorder,
        log.progress(STAGE, search.loop.steps) as bar,
    ):
        bar.advance(search.loop.step)

        def on_step(step: int) -> None:
            recorder.on_step(step)
            bar.advance(1)

        search.run(
            on_step=on_step,
            save=lambda step, tensors, state: checkpoints.save(STAGE, step, tensors, state),
            save_every=SAVE_EVERY,
        )
        recorder.write()
    log(f"search by {search.method.name} is done after {search.loop.step} steps")


def _result(document: dict[str, Any], folder: Path) -> SearchResult:
    return SearchResult(**document, folder=folder)
