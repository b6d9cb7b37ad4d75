"""Trainings as tasks of an executor, and the check that a machine has their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.executors import ExecutorTask, RefusedError, TaskContext
from targets.errors import HwnasError
from targets.files import digest_of

from .memory import device_bytes, task_bytes
from .training_job import TrainingJob, data_of, run_job

if TYPE_CHECKING:
    from hwnas.data import Data

__all__ = ["check_data", "data_task", "do_training", "training_task"]

FILES = ("splits_file", "labels_csv")
"""Keys of a job's data that name files, which travel with it."""


def training_task(job: TrainingJob, parent: Path) -> ExecutorTask:
    """A training as an executor takes it. parent: of the folder of the job."""
    weights = [(name, "file") for name in ("start", "teacher") if getattr(job, name) is not None]
    return ExecutorTask(
        kind="training",
        name=job.job_id,
        document=asdict(job),
        folder=job.folder(parent),
        files=[*weights, *(("data", name) for name in FILES if job.data.get(name))],
        memory_bytes=lambda: task_bytes(job),
        device=job.device,
        device_bytes=lambda: task_bytes(job, device_bytes),
    )


def data_task(data: Mapping[str, Any], folder: Path) -> ExecutorTask:
    """Whether the images are where the task is done. data: as in a `TrainingJob`."""
    return ExecutorTask(
        kind="data",
        name="the images",
        document={"data": dict(data)},
        folder=folder,
        files=[("data", name) for name in FILES if data.get(name)],
    )


def do_training(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """The work of a training."""
    import torch

    torch.set_num_threads(1)
    job = TrainingJob(**document)
    run_job(
        job,
        folder.parent,
        data=_checked_data(job.data, context.place),
        on_step=context.on_step,
        log=context.log,
    )


def check_data(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """RefusedError where the images are not there, or are others. It keeps them for the trainings."""
    _checked_data(document["data"], context.place)


_checked: dict[str, str] = {}
"""The identity of the images that were loaded last, by what was loaded."""


def _checked_data(spec: Mapping[str, Any], place: Mapping[str, Any]) -> Data | None:
    """The images, which have to be those that `place` knows; None where it knows of none."""
    wanted = place.get("data")
    if wanted is None:
        return None
    from hwnas.data.identity import data_identity

    here = {**spec, **located(spec, place)}
    try:
        data = data_of(here)
    except HwnasError as error:
        raise RefusedError(f"the images are not there: {error}") from error
    key = digest_of(here)
    if key not in _checked:
        _checked.clear()
        _checked[key] = digest_of({k: v for k, v in data_identity(data).items() if k in wanted})
    if _checked[key] != digest_of(wanted):
        raise RefusedError(f"{here['spec']} holds other images there, or they are decoded otherwise")
    return data


def located(spec: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, str]:
    """The paths in the data of a job as they are here.

    A relative one is meant from the `folder` of `place`, and `paths` says what lies elsewhere here; a data
    home that is not here is the one of this machine.
    """
    from hwnas.data import known_sources
    from lut.home import data_home

    located = {}
    for key in ("spec", "root", "labels_csv"):
        if spec.get(key) is None:
            continue
        text = str(spec[key])
        if text not in known_sources():
            located[key] = text = str(Path(place.get("folder", "."), text))
        for there, here in place.get("paths", {}).items():
            if Path(text).is_relative_to(there):
                located[key] = str(Path(here, Path(text).relative_to(there)))
    if not Path(located["root"]).is_dir():
        located["root"] = str(data_home())
    return located
