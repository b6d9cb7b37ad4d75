"""What a shrinking does, stage by stage; each leaves files that the next ones read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.data import eval_batches
from hwnas.data.batches import Batches, EvalBatches
from hwnas.exporting.export import export_model
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.stages import Outcome
from hwnas.pipeline.step_bar import step_bar
from hwnas.runs.run_dir import RunDir
from hwnas.shrinking.choose import Choices, Chosen, choose, default_budget_ms
from hwnas.shrinking.importance import importance
from hwnas.shrinking.latency import LatencyModel
from hwnas.shrinking.prune import changed_shapes, narrowed, pruned
from hwnas.shrinking.sensitivity import added_loss, mean_loss, narrower, removed_at, widths_of
from hwnas.training.train import eval_batch, score
from hwnas.training.training_job import Trained, TrainingJob, read_result, run_job
from targets.errors import DamagedFileError, InfeasibleError, UsageError
from targets.files import read_json, sha256, write_atomic, write_json

from .measuring import Costing
from .prepared import PreparedShrinking, names_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

ORIGINAL = "original"
"""The name of the network as it came."""

WEIGHTS, SOURCE, SCORES, WIDTHS = "original.safetensors", "source.json", "importance.json", "widths.json"
SCAN, STARTS, TRAININGS, MODELS = "scan", "starts", "trainings", "models"

IMPORTANCE_BATCHES = 16
"""Of the training images, by which channels are ranked."""

FILLED = 0.95
"""Share of a budget that a network uses, from which on nothing is corrected."""

CORRECTIONS = 4
"""Measurements of a network that was chosen, each of which corrects what the next is chosen by."""


@dataclass(frozen=True)
class ShrinkContext:
    """What the stages share."""

    run: RunDir
    prepared: PreparedShrinking
    measured_ms: float | None = None
    """Of the network as it came, where that was measured before there was a folder."""

    @contextmanager
    def costing(self) -> Iterator[Costing]:
        """The target, with a process for the time of the block."""
        costing = self.prepared.costing(self.run.log)
        with costing.process:
            yield costing

    @cached_property
    def validation(self) -> EvalBatches:
        """The images by which the loss of a width is judged."""
        data = self.prepared.source.data
        return EvalBatches(data, "val", eval_batch(data.area), self.prepared.images)

    @cached_property
    def whole_loss(self) -> float:
        """Of the network as it came, on these images."""
        known = self.prepared
        return mean_loss(known.module, self.validation, known.source.data.task.loss)

    @cached_property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """The importance of every channel, by group."""
        document = read_json(self.run.path / SCORES, "the importance of channels")
        return {name: np.array(values) for name, values in document.items()}

    def scan_file(self, number: int) -> Path:
        """Of one group."""
        return self.run.path / SCAN / f"{number:03d}.json"

    @property
    def names(self) -> list[str]:
        """Of the narrower networks."""
        return [entry["name"] for entry in self.run.result("widths")["networks"]]


def whole_ms(prepared: PreparedShrinking, log: Callable[[str], None]) -> float:
    """What the network takes as it came, measured; UsageError where that is within a budget already."""
    measured_ms = prepared.costing(log).measured({ORIGINAL: prepared.module})[ORIGINAL].p50_ms
    loose = [budget for budget in prepared.budgets if budget >= measured_ms]
    if loose:
        raise UsageError(
            f"{prepared.source.name} takes {measured_ms:.4g} ms on {prepared.target.name} as it is, which is "
            f"within --budget-ms {loose[0]:g}; ask for less"
        )
    return measured_ms


def look(context: ShrinkContext) -> Outcome:
    """Score, predict and measure the network as it came, and rank its channels."""
    known, run = context.prepared, context.run
    source, data = known.source, known.source.data
    write_atomic(run.path / WEIGHTS, safetensors_bytes(known.module))
    write_json(run.path / SOURCE, {"network": dict(source.network), "images": dict(source.images)})
    with context.costing() as costing:
        times = costing.times(known.module)
    measured_ms = context.measured_ms or whole_ms(known, run.log)
    size = eval_batch(data.area)
    val_accuracy, val_loss = score(known.module, eval_batches(data, "val", size), data.task)
    batches = Batches(data, "train", min(32, known.recipe.batch_size), known.seed)
    n = min(IMPORTANCE_BATCHES, batches.steps_per_epoch)
    with run.progress("ranking channels", n) as bar:
        scores = importance(
            known.module, known.groups, (batches.at(i) for i in range(n)), data.task.loss, bar.advance
        )
    write_json(run.path / SCORES, {name: values.tolist() for name, values in scores.items()})
    result = {
        "measured_ms": measured_ms,
        "times": times,
        "val_accuracy": val_accuracy,
        "val_loss": val_loss,
    }
    return Outcome(result, (WEIGHTS, SOURCE, SCORES))


def scan(context: ShrinkContext) -> Outcome:
    """Loss and predicted kernels of every width of every group alone; what is known is not done again."""
    known, run = context.prepared, context.run
    files = [context.scan_file(i) for i in range(len(known.groups))]
    with context.costing() as costing, run.progress("widths", known.n_widths) as bar:
        for group, file in zip(known.groups, files, strict=True):
            widths = widths_of(group.size)
            if file.exists():
                bar.advance(len(widths) - 1)
                continue
            losses, times = [context.whole_loss], {}
            for width in widths[1:]:
                narrow = narrower(known.module, group, context.scores[group.name], width)
                losses.append(mean_loss(narrow, context.validation, known.source.data.task.loss))
                times[str(width)] = costing.times(narrow)
                bar.advance(1, group.name)
            row = {"group": group.name, "widths": widths, "losses": losses, "times": times}
            file.parent.mkdir(exist_ok=True)
            write_json(file, row)
    return Outcome({}, tuple(str(file.relative_to(run.path)) for file in files))


def decide(context: ShrinkContext) -> Outcome:
    """The widths for each budget, measured before anything learns, and the weights that each begins with."""
    known, run = context.prepared, context.run
    looked = run.result("look")
    rows = [read_json(context.scan_file(i), "a scan of widths") for i in range(len(known.groups))]
    choices = {row["group"]: Choices(widths=row["widths"], losses=added_loss(row["losses"])) for row in rows}
    scanned = {row["group"]: {int(width): times for width, times in row["times"].items()} for row in rows}
    whole = looked["times"]
    narrowest = {row["group"]: row["widths"][-1] for row in rows}
    removed = removed_at(known.groups, context.scores, narrowest)
    with context.costing() as costing:
        ends = costing.measured(
            {ORIGINAL: known.module, "narrowest": pruned(known.module, known.groups, removed)}
        )
    model = LatencyModel.of(whole, scanned).through(
        narrowest, ends[ORIGINAL].p50_ms, ends["narrowest"].p50_ms
    )
    budgets = known.budgets or (default_budget_ms(choices, model),)
    if not known.budgets:
        run.log(f"budget: {budgets[0]:.4g} ms, the network takes {looked['measured_ms']:.4g} ms")
    networks = []
    with context.costing() as costing, run.progress("choosing widths", len(budgets)) as bar:
        for budget, name in zip(budgets, names_of(budgets, known.source.name), strict=True):
            networks.append(
                {"name": name, "budget_ms": budget, **_decided(context, costing, choices, model, budget)}
            )
            removed = removed_at(known.groups, context.scores, networks[-1]["widths"])
            start = run.path / STARTS / f"{name}.safetensors"
            start.parent.mkdir(exist_ok=True)
            write_atomic(start, safetensors_bytes(pruned(known.module, known.groups, removed)))
            bar.advance(1)
    write_json(run.path / WIDTHS, networks)
    starts = (f"{STARTS}/{network['name']}.safetensors" for network in networks)
    return Outcome({"networks": networks}, (WIDTHS, *starts))


def _decided(
    context: ShrinkContext,
    costing: Costing,
    choices: dict[str, Choices],
    model: LatencyModel,
    budget_ms: float,
) -> dict[str, Any]:
    """The best network that is within the budget when it is measured, as JSON values."""
    known = context.prepared
    state = known.module.state_dict()
    fitting: list[tuple[Chosen, float]] = []
    for _ in range(CORRECTIONS):
        chosen = choose(choices, model, budget_ms)
        narrow = pruned(known.module, known.groups, removed_at(known.groups, context.scores, chosen.widths))
        measured_ms = costing.measured({"narrow": narrow})["narrow"].p50_ms
        fitting += [(chosen, measured_ms)] if measured_ms <= budget_ms else []
        if FILLED * budget_ms <= measured_ms <= budget_ms:
            break
        model = model.corrected(chosen.widths, measured_ms)
    if not fitting:
        raise InfeasibleError(
            f"the networks that are predicted to take {budget_ms:.4g} ms take up to {measured_ms:.4g} ms "
            "when they are measured; is the machine busy? Go on later with the same command, or ask for more"
        )
    chosen, measured_ms = min(fitting, key=lambda pair: pair[0].added_loss)
    new = narrowed(state, known.groups, removed_at(known.groups, context.scores, chosen.widths))
    return {
        "widths": chosen.widths,
        "added_loss": chosen.added_loss,
        "predicted_ms": chosen.latency_ms,
        "measured_ms": measured_ms,
        "shapes": changed_shapes(state, new),
    }


def job_of(context: ShrinkContext, entry: dict[str, Any]) -> TrainingJob:
    """The training of a narrower network, taught by the whole one."""
    known, path = context.prepared, context.run.path
    start = path / STARTS / f"{entry['name']}.safetensors"
    teacher = path / WEIGHTS
    network = dict(known.source.network)
    return TrainingJob(
        job_id=entry["name"],
        network={"shrunk": network, "shapes": entry["shapes"]},
        data=known.source.images,
        recipe=known.recipe.to_json(),
        seed=known.seed,
        device=known.device,
        start={"file": str(start.resolve()), "sha256": sha256(start)},
        teacher={"network": network, "file": str(teacher.resolve()), "sha256": sha256(teacher)},
    )


def learn(context: ShrinkContext) -> Outcome:
    """Train the narrower networks, one after the other; each goes on from its checkpoint."""
    run, files = context.run, []
    for entry in run.result("widths")["networks"]:
        job = job_of(context, entry)
        if read_result(job, run.path / TRAININGS) is None:
            with step_bar(run, job.job_id) as on_step:
                run_job(job, run.path / TRAININGS, on_step=on_step, log=run.log.warn)
        folder = job.folder(run.path / TRAININGS).relative_to(run.path)
        files += [f"{folder}/result.json", f"{folder}/weights.safetensors"]
    return Outcome({}, tuple(files))


def trained(context: ShrinkContext, entry: dict[str, Any]) -> Trained:
    """What `learn` left of a network."""
    result = read_result(job_of(context, entry), context.run.path / TRAININGS)
    if result is None:
        raise DamagedFileError(f"{context.run.path}: the training of {entry['name']} is gone; begin anew")
    return result


def ship(context: ShrinkContext) -> Outcome:
    """Export every network, the whole one too, and score it on the test images, once."""
    known, run = context.prepared, context.run
    networks: list[tuple[str, nn.Module, dict[str, Any], dict[str, int]]] = [
        (ORIGINAL, known.module, dict(known.source.network), {})
    ]
    for entry in run.result("widths")["networks"]:
        done = trained(context, entry)
        networks.append((entry["name"], done.module(), dict(done.job.network), entry["widths"]))
    data = known.source.data
    scored = {}
    for name, module, network, widths in networks:
        scores = {
            f"{split}_accuracy": score(module, eval_batches(data, split, eval_batch(data.area)), data.task)[0]
            for split in ("val", "test")
        }
        export_model(
            module,
            data,
            run.path / MODELS / name,
            arch_id=name,
            network=network,
            dot=_dot(name, known, widths),
            facts={**scores, "widths": widths},
        )
        scored[name] = scores
    return Outcome({"scores": scored}, tuple(f"{MODELS}/{name}" for name in scored))


def _dot(name: str, known: PreparedShrinking, widths: dict[str, int]) -> str:
    """The groups as Graphviz draws them, in order, with the channels that are left."""
    nodes = [
        f'  "{group.name}" [label="{group.name}\\n{widths.get(group.name, group.size)} of {group.size}"];'
        for group in known.groups
    ]
    edges = " -> ".join(f'"{group.name}"' for group in known.groups)
    return "\n".join([f'digraph "{name}" {{', *nodes, f"  {edges};", "}", ""])
