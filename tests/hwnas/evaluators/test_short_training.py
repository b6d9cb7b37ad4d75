"""The evaluator by short trainings: the contract, with real trainings of tiny networks in real processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.core.space import Space
from hwnas.costs.cost_model import CostModel
from hwnas.data import Data, load_data
from hwnas.data.identity import data_identity
from hwnas.evaluators import EvaluationFailed, Evaluator
from hwnas.evaluators.identity import FRESH, evaluation_identity
from hwnas.evaluators.short_training import ShortTraining
from hwnas.evaluators.store import EvaluationStore, StoredEvaluation
from hwnas.executors import LocalExecutor
from hwnas.spaces import load_space
from hwnas.training.training_job import TrainingJob, run_job
from tests.support.evaluators import EvaluatorContract
from tests.support.spaces import TINY_STAGES

pytestmark = pytest.mark.slow

RECIPE = {"epochs": 1, "batch_size": 128, "lr": 0.1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    (folder / "tiny.toml").write_text(TINY_STAGES)
    return folder


def tiny_space(place: Path) -> NetworkSpace:
    return load_space(str(place / "tiny.toml"), image_size=16, in_channels=1, n_classes=10)


@pytest.fixture(scope="module")
def space(place: Path) -> NetworkSpace:
    return tiny_space(place)


@pytest.fixture(scope="module")
def data(place: Path) -> Data:
    return load_data("digits", 16, 0, root=place / "home")


@pytest.fixture(scope="module")
def workers() -> Any:
    with LocalExecutor(2) as pool:
        yield pool


class Trainings:
    """Makes evaluators over one folder per test, and remembers what was ordered."""

    def __init__(self, space: NetworkSpace, home: Path, folder: Path, workers: LocalExecutor) -> None:
        self.space, self.home, self.folder, self.workers = space, home, folder, workers
        self.ordered: list[str] = []

    def job(self, arch: Arch, **changes: Any) -> TrainingJob:
        network = {"space": self.space.spec(), "arch": self.space.key(arch)}
        data = {"spec": "digits", "image_size": 16, "seed": 0, "root": str(self.home)}
        values: dict[str, Any] = {"network": network, "data": data, "recipe": RECIPE, "seed": 1, **changes}
        return TrainingJob(job_id=self.space.arch_id(arch), **values)

    def evaluator(
        self, store: EvaluationStore | None = None, folder: str = "a", **changes: Any
    ) -> ShortTraining:
        def job(arch: Arch) -> TrainingJob:
            self.ordered.append(self.space.key(arch))
            return self.job(arch, **changes)

        costs = CostModel(self.space)
        return ShortTraining(
            costs=costs, job=job, folder=self.folder / folder, store=store, executor=self.workers
        )


@pytest.fixture
def trainings(space: NetworkSpace, place: Path, tmp_path: Path, workers: LocalExecutor) -> Trainings:
    return Trainings(space, place / "home", tmp_path, workers)


@pytest.fixture
def archs(space: NetworkSpace) -> list[Arch]:
    return list(space.enumerate())[:3]


class TestShortTraining(EvaluatorContract):
    objectives = ("val_accuracy", "val_loss", "macs", "params")

    @pytest.fixture
    def space(self, place: Path) -> Space:
        return tiny_space(place)

    @pytest.fixture
    def evaluator(self, trainings: Trainings) -> Evaluator:
        return trainings.evaluator()

    @pytest.fixture
    def archs(self, space: NetworkSpace) -> list[Arch]:
        return list(space.enumerate())[:3]


def test_the_answer_is_that_of_the_training_itself(
    trainings: Trainings, archs: list[Arch], tmp_path: Path
) -> None:
    (answer,) = trainings.evaluator()(archs[:1])
    torch.set_num_threads(1)
    trained = run_job(trainings.job(archs[0]), tmp_path / "here")
    costs = CostModel(trainings.space).of(archs[:1])
    expected = {"val_accuracy": trained.val_accuracy, "val_loss": trained.val_loss}
    assert answer == expected | {metric: float(values[0]) for metric, values in costs.items()}


def test_another_score_trains_nothing_again(
    trainings: Trainings, archs: list[Arch], data: Data, tmp_path: Path
) -> None:
    store = EvaluationStore(tmp_path, ("tiny", "digits"), identity(trainings.space, data))
    by_accuracy = trainings.evaluator(store)(archs[:1])[0]
    told = store.known[trainings.space.key(archs[0])].metrics
    for score in ("top5", "likelihood"):
        (by_score,) = replace(trainings.evaluator(store), score=score)(archs[:1])
        assert isinstance(by_score, dict) and isinstance(by_accuracy, dict)
        assert by_score == by_accuracy | {"val_accuracy": told[f"val_{score}"]}
    assert len(trainings.ordered) == 1
    assert told["val_likelihood"] == pytest.approx(math.exp(-told["val_loss"]), rel=1e-5)


def test_an_older_evaluation_without_the_score_is_made_anew(
    trainings: Trainings, archs: list[Arch], data: Data, tmp_path: Path
) -> None:
    key = trainings.space.key(archs[0])

    def stored() -> EvaluationStore:
        return EvaluationStore(tmp_path, ("tiny", "digits"), identity(trainings.space, data))

    old = {"val_accuracy": 0.5, "val_loss": 1.0}
    stored().add(StoredEvaluation(arch=key, metrics=old, cpu_s=1.0, date="2026-01-01"))
    assert trainings.evaluator(stored()).knows(archs[0])
    by_top5 = replace(trainings.evaluator(stored()), score="top5")
    assert not by_top5.knows(archs[0])
    by_top5(archs[:1])
    assert set(stored().known[key].metrics) == {"val_accuracy", "val_top5", "val_likelihood", "val_loss"}


def identity(of_space: NetworkSpace, of_data: Data, **changes: Any) -> dict[str, Any]:
    what: dict[str, Any] = {"space": of_space, "data": of_data, "recipe": RECIPE, "seed": 1, "start": FRESH}
    return evaluation_identity(**{**what, "device": "cpu", **changes})


def test_nothing_is_trained_twice_in_any_run(
    trainings: Trainings, archs: list[Arch], data: Data, tmp_path: Path
) -> None:
    def stored() -> EvaluationStore:
        return EvaluationStore(tmp_path, ("tiny", "digits"), identity(trainings.space, data))

    first = trainings.evaluator(stored())
    answers = first(archs[:2])
    assert len(trainings.ordered) == 2 and first(archs[:2]) == answers and len(trainings.ordered) == 2
    second = trainings.evaluator(stored(), folder="another run")
    assert second.knows(archs[0]) and not second.knows(archs[2])
    assert second(archs)[:2] == answers
    assert trainings.ordered[2:] == [trainings.space.key(archs[2])]
    rows = stored().known.values()
    scores = {"val_accuracy", "val_top5", "val_likelihood", "val_loss"}
    assert [set(row.metrics) for row in rows] == [scores] * 3  # nothing of a device
    assert all(row.cpu_s > 0 for row in rows)


def test_a_training_that_fails_is_an_answer_and_is_not_stored(
    trainings: Trainings, archs: list[Arch], data: Data, tmp_path: Path
) -> None:
    stored = EvaluationStore(tmp_path, ("tiny", "digits"), identity(trainings.space, data))
    evaluator = trainings.evaluator(stored, recipe={**RECIPE, "lr": 1e9})
    answers: Sequence[Any] = evaluator(archs[:2])
    assert all(isinstance(a, EvaluationFailed) and "lr is 1000000000.0" in a.reason for a in answers)
    assert not stored.known and not stored.path.exists()


def test_what_an_evaluation_depends_on_is_in_its_identity(
    space: NetworkSpace, data: Data, place: Path, tmp_path: Path
) -> None:
    split = load_data("digits", 16, 7, root=place / "home")
    size = load_data("digits", 20, 0, root=place / "home")
    wider = load_space(str(place / "tiny.toml"), image_size=16, in_channels=1, n_classes=10, width_mult=2.0)
    same = identity(space, data)
    others: list[dict[str, Any]] = [
        {"data": split},
        {"data": size},
        {"space": wider},
        {"seed": 2},
        {"start": "supernet abc"},
    ]
    others += [{"recipe": {**RECIPE, "lr": 0.2}}, {"device": "cuda"}]
    assert identity(space, load_data("digits", 16, 0, root=place / "home")) == same
    for change in others:
        assert identity(space, data, **change) != same, change


def test_images_that_were_edited_are_other_data(space: NetworkSpace, tmp_path: Path) -> None:
    """BMP files keep their size in bytes whatever they show, so names, labels and sizes stay the same."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(5):
            image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            image.save(folder / name / f"{i}.bmp")
    before = data_identity(load_data(str(folder), 16, 0, root=tmp_path / "one"))
    for file in sorted(folder.rglob("*.bmp")):
        ImageOps.invert(Image.open(file).convert("RGB")).save(file)
    after = data_identity(load_data(str(folder), 16, 0, root=tmp_path / "two"))
    assert before["listing"] == after["listing"] and before["pixels"] != after["pixels"]
