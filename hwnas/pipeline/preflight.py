"""What can be known to be wrong before a run directory is made: names, the device, the order of the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.core.budget import COSTS, Budget, base_metric
from hwnas.costs.energy import read_energy
from hwnas.executors.cluster_file import find_cluster
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.training_device import on_found_device, require_amp, require_cards
from lut.home import HOME_VARIABLE, data_home
from targets.errors import UsageError

from .counts import (
    ETA,
    EVALUATED,
    epochs_by_fidelity,
    evaluator_of,
    needs_latency,
    objectives_of,
    search_batch_size,
    strategy_of,
)
from .latency_tables import find_devices
from .ready import require_ready
from .scores import task_of
from .task_options import require_fitting

if TYPE_CHECKING:
    from hwnas.gradient.method import Method


def preflight(config: SearchConfig, log: Log | None = None) -> None:
    """UsageError or TargetError for a target or device that there is not, and options that do not fit.

    Names in the options are known to be right (`hwnas.core.names`).
    """
    if config.cluster is not None:
        find_cluster(config.cluster)
    home = data_home(config.home)
    if home.is_file():
        raise UsageError(f"the data home {home} is a file; give a folder by --home or {HOME_VARIABLE}")
    devices = find_devices(config.targets, home)
    names = [device.name for device in devices]
    budgets = [Budget.parse(b).on_devices(names) for b in config.budgets]

    # Here, so that what is wrong above is told before torch is loaded.
    from hwnas.data import known_sources
    from hwnas.front.strategies import STRATEGIES
    from hwnas.gradient.method_file import find_method
    from hwnas.pipeline.search_history.trackers import check_trackers
    from hwnas.tasks import task_named

    task = task_named(config.task)
    if task.texts and any(d.target is not None and d.target.precision == "int8" for d in devices):
        raise UsageError(
            f"a network of the task {task.name} carries its state in float, and a target asks for int8; "
            "give one of precision fp32"
        )
    if config.labels is not None and config.data in known_sources():
        raise UsageError(
            f"--labels {config.labels} needs --data, the folder of the images; {config.data} has its own"
        )
    method = find_method(config.method)
    STRATEGIES[strategy_of(config)].read_options(config.strategy_options)
    _check_work(config, names, budgets)
    check_trackers(config.trackers)
    if config.energy_table is not None:
        read_energy(Path(config.energy_table), ())  # which blocks it must have is known with the images
    elif any(Budget.parse(b).metric == "energy_mj" for b in config.budgets):
        raise UsageError(
            "a budget on energy_mj needs a table of the energy of every block, which nothing here estimates; "
            "give --energy-table FILE, a CSV of key and energy_mj (docs/python.md)"
        )
    require_cards(config.device, config.gpus)
    config = on_found_device(config)
    _check_space(config, method)
    require_amp(config.amp, config.device)
    if config.storage is not None:
        from hwnas.front.shared_record import require_server

        require_server(config.storage)
    warn, by_tables = (log or Log()).warn, needs_latency(config)
    require_ready(devices, home, warn, by_tables=by_tables)  # last, because it may take seconds


def _check_space(config: SearchConfig, method: Method) -> None:
    """UsageError for a space that cannot be made, or that the method or the strategy does not fit."""
    from hwnas.front.strategies import STRATEGIES
    from hwnas.gradient.stage_supernets import require_fit
    from hwnas.pipeline.search_history.alphas import require_cells
    from hwnas.spaces import load_space
    from hwnas.tasks import task_named

    # Images and classes are not known yet, and neither decides what can be wrong here.
    size, texts = config.image_size or 32, task_named(config.task).texts
    space = load_space(
        config.space,
        image_size=size,
        in_channels=3,
        n_classes=10,
        dims=0 if texts else 2,
        width_mult=config.width_mult,
        head=task_named(config.task).head,
    )
    require_fit(space, method)
    STRATEGIES[strategy_of(config)].require_fit(space, config.population)
    if config.bf16 or config.compile:
        from hwnas.gradient.speed import require_speed

        require_speed(space, config.device, bf16=config.bf16, compiled=config.compile)
    if config.alpha_history:
        require_cells(space)


def _check_work(config: SearchConfig, devices: Sequence[str], budgets: Sequence[Budget]) -> None:
    """UsageError for options of which one needs or replaces another."""
    from hwnas.data.batches import check_shares
    from hwnas.front import Problem
    from hwnas.front.strategies import STRATEGIES
    from hwnas.tasks import outward, task_named
    from hwnas.training.presets import changed
    from hwnas.training.recipe import Recipe

    from .federated_training import require_federated

    shared = not evaluator_of(config).trains
    needs_supernet = [
        ("--evaluator shared-weights", shared and config.supernet_steps == 0),
        (
            "--eval-start supernet",
            config.eval_start == "supernet" and not config.supernet_steps and not shared,
        ),
        ("--search-steps", bool(config.search_steps) and not config.supernet_steps and not shared),
        ("--gpus", config.gpus is not None and not config.supernet_steps and not shared),
    ]
    for option, lacks in needs_supernet:
        if lacks:
            raise UsageError(f"{option} needs shared weights; give --supernet-steps, for instance 500")
    check_shares(search_batch_size(config), config.gpus or 1)
    if config.cluster is not None and config.workers is not None:
        raise UsageError("--workers counts processes of this machine; with --cluster its own workers count")
    if config.generations is not None and config.evaluations is not None:
        raise UsageError("--evaluations and --generations both say how long the front is searched; give one")
    for option, value in (("--eval-epochs", config.eval_epochs), ("--eval-start", config.eval_start)):
        if shared and value not in (None, "fresh"):
            raise UsageError(f"{option} belongs to --evaluator short-training, not to shared weights")
    recipe = changed(Recipe.for_data(1), config)
    task = task_named(config.task)
    require_fitting(task, config, recipe, strong=config.recipe == "strong")
    require_federated(config)
    if config.repeats == 1:
        raise UsageError(
            "--repeats 1: one split more says nothing of how far splits differ; allowed: 0, or 2 to 100"
        )
    if config.repeats and task.texts:
        raise UsageError(f"--repeats: {task.name} splits a text in its order, in one way only; leave it out")
    if config.repeats and config.continue_from is not None:
        raise UsageError(
            "--repeats trains the chosen network from new weights, and a search that goes on trains none so; "
            "leave it out"
        )
    epochs_by_fidelity(config, config.eval_epochs or ETA)
    problem, scored = Problem.parse(objectives_of(config, devices), budgets), task_of(config)
    told = [f"val_{name}" for name in (task.metric.name, *task.scores)]
    found_out = [o.metric for o in problem.objectives if base_metric(o.metric) not in COSTS]
    if unknown := [metric for metric in found_out if metric not in EVALUATED]:
        raise UsageError(
            f"--objective {outward(unknown[0], task)}: trainings tell {', '.join(told)} and val_loss, and a "
            f"search goes by one of them; only a table of known results can have others (--space "
            f"table:FILE.csv)"
        )
    if STRATEGIES[strategy_of(config)].one_prediction and len(found_out) > 1:
        both = " and ".join(outward(found_out, scored))
        raise UsageError(
            f"--objective {both}: strategy {strategy_of(config)!r} takes one of them, and costs beside it; "
            f"--strategy nsga2 takes both"
        )
    if not found_out:
        raise UsageError(f"--objective: one of them has to be {', '.join(told)} or val_loss")
