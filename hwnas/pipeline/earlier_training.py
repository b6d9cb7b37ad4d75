"""A network that was trained before, by a search or by `hwnas train`, as the start of a longer training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.runs.front_file import FRONT_JSON, read_front
from hwnas.runs.identity import SEARCH, TRAINING, is_run, read_identity
from hwnas.runs.search_run import FINAL_FOLDER, LONGER_FOLDER
from hwnas.training.training_job import RESULT, Trained, TrainingJob, stored_result
from targets.errors import UsageError, did_you_mean
from targets.files import safe_name


def earlier_training(place: Path) -> Trained:
    """What was trained at `place`: RUN/ID of a search, RUN for its chosen network, a folder of `hwnas train`.

    UsageError where there is none, with what there is.
    """
    trained = stored_result(_folder(place))
    if "arch" not in trained.job.network:
        raise UsageError(f"{place} is a baseline and no architecture of a space; go on with a pick")
    return trained


def last_trainings(run: Path) -> dict[str, Path]:
    """The folder of the last finished training of each network of a search, by its name there."""
    folders = (run / FINAL_FOLDER, run / LONGER_FOLDER)
    return {path.parent.name: path.parent for folder in folders for path in folder.glob(f"*/{RESULT}")}


def longer_job(trained: Trained, epochs: int, device: str) -> TrainingJob:
    """The same network, images and recipe for more epochs, from the weights that it has."""
    job = trained.job
    recipe: dict[str, Any] = {**job.recipe, "epochs": epochs}
    return replace(job, data=images_of(trained), recipe=recipe, device=device, start=trained.start)


def images_of(trained: Trained) -> dict[str, Any]:
    """The images of the training, as a job holds them."""
    data = dict(trained.job.data)
    splits = next((p / "splits.json" for p in trained.folder.parents if (p / "splits.json").is_file()), None)
    if "splits_file" in data and splits is not None:  # the run may have been moved
        data["splits_file"] = str(splits.resolve())
    return data


def _folder(place: Path) -> Path:
    """Of the result."""
    if (place / RESULT).is_file():
        return place
    if place.is_dir() and is_run(place):
        identity = read_identity(place)
        if identity.kind == SEARCH:
            if not (place / FRONT_JSON).exists():
                raise UsageError(f"{place} is not finished; `hwnas search --resume {place}` goes on with it")
            return _of_search(place, str(read_front(place)["chosen"]), identity.values)
        results = sorted(place.glob(f"*/{RESULT}"))
        if identity.kind == TRAINING and len(results) == 1:
            return results[0].parent
        raise UsageError(f"{place} holds no finished training; give its own command to go on with it first")
    for run in (place.parent, place.parent.parent):
        if run.is_dir() and is_run(run) and read_identity(run).kind == SEARCH:
            return _of_search(run, place.name, read_identity(run).values)
    raise UsageError(
        f"{place} is nothing that was trained; give RUN/ID of a search, or the folder of a `hwnas train`"
    )


def _of_search(run: Path, arch_id: str, options: Any) -> Path:
    known = last_trainings(run)
    suffix = f"-s{options.get('seed', 0)}"
    for name in (safe_name(f"{arch_id}{suffix}"), safe_name(arch_id)):
        if name in known:
            return known[name]
    names = sorted(name.removesuffix(suffix) for name in known)
    raise UsageError(
        f"{run} has trained no network {arch_id!r}; "
        + (did_you_mean(arch_id, names) if names else "it has trained none yet: go on with the search first")
    )
