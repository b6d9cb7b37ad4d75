"""A search that goes on from a finished one: what that decided is taken over, and its networks train on.

Everything is copied, so that the new run is whole without the old one. With data that grew (`growth`) the
split is extended, and what the finished search evaluated counts as of the earlier images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.pipeline.earlier_training import last_trainings
from hwnas.runs.front_file import front_points, read_front
from hwnas.runs.search_run import FINAL_FOLDER
from hwnas.runs.stages import StageRecords
from hwnas.training.training_job import RESULT, WEIGHTS, Trained, stored_result
from hwnas.training.workers import TrainingFailed
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, safe_name, write_atomic

from .growth import extend_splits, grows, scores_before
from .run_context import RunContext

EARLIER = "earlier"
"""Record of what was taken over, and the folder of the weights."""

TRAINING = "training"
"""The stage that a continued search does anew, and those after it."""

_COPIES = ("study.db",)
"""What lies beside their files."""
_KEPT = (WEIGHTS, RESULT)
"""Of a training."""


def take_over(context: RunContext, decided: Sequence[str]) -> None:
    """Copy what the finished search decided and the weights of its networks; nothing where that is done.

    decided: stages whose outcome stays as it is.
    """
    source = context.config.continue_from
    if source is None or context.run.stage_done(EARLIER) is not None:
        return
    old = Path(source)
    records = StageRecords(old)
    results = {name: _result(records, old, name) for name in (*decided, TRAINING)}
    if grows(context):
        results["splits"] = extend_splits(context, results["splits"])
    results["plan"] = _planned(context, results["plan"], old)
    for name in decided:
        files = records.files(name)
        _copy(old, context.path, [] if name == "splits" and grows(context) else files)
        context.run.finish_stage(name, results[name], files)
    _copy(old, context.path, [file for file in _COPIES if (old / file).is_file()])
    models = results[TRAINING]["models"]
    trained, files = last_trainings(old), []
    for model in models:
        if not model["failure"]:
            name = safe_name(_name(context, model["arch_id"]))
            _copy(trained.get(name, old / FINAL_FOLDER / name), context.path / EARLIER / name, _KEPT)
            files += [f"{name}/{file}" for file in _KEPT]
    front = read_front(old)
    known: dict[str, Any] = {"run": source, "training": front.get("training"), "models": models}
    if grows(context):
        tested = [point.arch_id for point in front_points(front) if point.is_trained]
        known["scores"] = scores_before(context, old, tested)
    context.run.finish_stage(EARLIER, known, [f"{EARLIER}/{file}" for file in files])
    n = sum(not m["failure"] for m in models)
    context.run.log(f"{n} networks of {source} train on from their weights")


def earlier_of(context: RunContext, arch_id: str) -> Mapping[str, Any]:
    """What the training stage of the finished search said of a network."""
    models: list[dict[str, Any]] = context.result(EARLIER)["models"]
    return next(m for m in models if m["arch_id"] == arch_id)


def accuracy_before(context: RunContext, first: Trained, arch_id: str) -> float:
    """On the validation images of now, of what a network goes on from."""
    scores = context.result(EARLIER).get("scores", {})
    return float(scores.get(arch_id, {}).get("val_accuracy", first.scored(context.score)))


def read_earlier(context: RunContext, arch_id: str, seed: int) -> Trained | None:
    """The training that a network goes on from; None where there is none of that seed."""
    folder = context.path / EARLIER / safe_name(_name(context, arch_id, seed))
    return stored_result(folder) if (folder / RESULT).is_file() else None


def earlier_trainings(
    context: RunContext, jobs: Mapping[str, Any], seed: int
) -> dict[str, Trained | TrainingFailed]:
    """Per network what it goes on from, or why there is nothing. jobs: the final trainings, by network."""
    known: dict[str, Trained | TrainingFailed] = {}
    for arch_id, job in jobs.items():
        trained = read_earlier(context, arch_id, seed)
        reason = earlier_of(context, arch_id)["failure"] or f"it was not trained with seed {seed}"
        known[arch_id] = trained or TrainingFailed(job, f"before, {reason}")
    return known


def _name(context: RunContext, arch_id: str, seed: int | None = None) -> str:
    return f"{arch_id}-s{context.config.seed if seed is None else seed}"


def _result(records: StageRecords, old: Path, name: str) -> dict[str, Any]:
    result = records.read(name)
    if result is None:
        raise UsageError(
            f"{old} has not done its stage {name!r}; hwnas search --resume {old} goes on with it"
        )
    return result


def _planned(context: RunContext, plan: dict[str, Any], old: Path) -> dict[str, Any]:
    """The plan of the finished search, with the counts that it came to and the length that is asked for."""
    decisions = old / "decisions.json"
    later = read_json(decisions, "the decisions of the run")["counts"] if decisions.exists() else {}
    counts = {**plan["counts"], **later, "repeats": 0}
    if context.config.train_epochs is not None:
        counts["train_epochs"] = context.config.train_epochs
    work = plan["work"]
    if grows(context):
        work = {**work, **{f"n_{name}": len(context.data.split(name)) for name in ("train", "val")}}
    changes = {"counts": counts, "work": work, "minutes": context.config.minutes, "warning": None}
    return {**plan, **changes}


def _copy(old: Path, new: Path, files: Sequence[str]) -> None:
    for file in files:
        try:
            write_atomic(new / file, (old / file).read_bytes())
        except FileNotFoundError:
            raise DamagedFileError(f"{old / file} is missing; the search cannot go on without it") from None
