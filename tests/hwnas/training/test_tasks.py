"""Trainings on a Dask cluster: the weights of one's own machine, whatever dies; other images are refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import load_data
from hwnas.data.identity import data_identity
from hwnas.executors import LocalExecutor, Progress
from hwnas.executors.cluster_file import Cluster
from hwnas.executors.clusters import open_cluster
from hwnas.executors.dask_executor import DaskExecutor
from hwnas.training.tasks import data_task
from hwnas.training.training_job import Trained, TrainingJob
from hwnas.training.workers import run_many
from targets.errors import TargetError
from targets.files import write_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for i in range(24):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def executor(photos: Path) -> Iterator[DaskExecutor]:
    elsewhere = {"/not/here": str(photos.parent)}  # where the workers find what this machine calls /not/here
    with open_cluster(Cluster(kind="local", workers=2, paths=elsewhere), print) as executor:
        yield executor


def _job(spec: dict[str, Any], seed: int, start: dict[str, str] | None = None) -> TrainingJob:
    space = {"name": "mobile", "image_size": 16, "in_channels": 3, "n_classes": 2, "width_mult": 0.25}
    network = {"space": space, "arch": "8:mb3e3/8:mb3e3/8:mb3e3/16:mb3e3/24:mb3e3"}
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.05}
    return TrainingJob(job_id=f"a-s{seed}", network=network, data=spec, recipe=recipe, seed=seed, start=start)


def test_a_cluster_trains_the_same_networks_and_refuses_other_images(
    executor: DaskExecutor, photos: Path, tmp_path: Path
) -> None:
    data = load_data(str(photos), 16, 0, root=tmp_path / "home")
    write_json(tmp_path / "splits.json", data.splits_json())
    places = {"root": str(tmp_path / "home"), "splits_file": str(tmp_path / "splits.json")}
    spec = {"spec": str(photos), "image_size": 16, "seed": 0, **places}
    far = {**spec, "spec": f"/not/here/{photos.name}"}
    identity = {k: v for k, v in data_identity(data).items() if k != "name"}
    executor.require({"data": identity}, data_task(far, tmp_path))

    killed: list[int] = []

    def kill_once(progress: Progress) -> None:
        if not killed and progress.share < 1:
            killed.append(progress.pid)
            os.kill(progress.pid, signal.SIGKILL)

    (first,) = run_many([_job(far, 1)], tmp_path / "a", executor, on_progress=kill_once)
    assert isinstance(first, Trained) and killed
    (second,) = run_many([_job(far, 2, first.start)], tmp_path / "a", executor)  # its weights travel
    with LocalExecutor(1) as local:
        (here,) = run_many([_job(spec, 1)], tmp_path / "b", local)
        assert isinstance(here, Trained)
        (there,) = run_many([_job(spec, 2, here.start)], tmp_path / "b", local)
    for ours, theirs in ((here, first), (there, second)):
        assert isinstance(ours, Trained) and isinstance(theirs, Trained)
        weights = theirs.weights()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in ours.weights().items())

    with pytest.raises(TargetError, match=r"no worker .* can be used: .* holds other images there"):
        executor.require({"data": {**identity, "pixels": "0" * 64}}, data_task(far, tmp_path))


def test_images_that_are_not_there_are_named(photos: Path, tmp_path: Path) -> None:
    data = load_data(str(photos), 16, 0, root=tmp_path)
    spec = {"spec": "absent", "image_size": 16, "seed": 0, "root": str(tmp_path)}
    with open_cluster(Cluster(kind="local", workers=1), print) as executor:
        place = {"data": data_identity(data), "folder": str(tmp_path)}
        with pytest.raises(TargetError, match=r"can be used: the images are not there: .*absent"):
            executor.require(place, data_task(spec, tmp_path))
