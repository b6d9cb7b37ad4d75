"""Objectives that a search may have, told before anything is measured; the loss as the evaluated one."""

from collections.abc import Sequence

import numpy as np
import pytest

from hwnas.core.choice import Arch
from hwnas.front import Problem, make_strategy, run
from hwnas.pipeline.counts import objectives_of
from hwnas.pipeline.main_job.beliefs import Beliefs
from hwnas.pipeline.preflight import preflight
from hwnas.pipeline.scores import score_name, task_of
from hwnas.runs.config import SearchConfig
from targets.errors import UsageError
from tests.support.strategies import DepthSpace, depth_costs, depth_metrics


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (("latency_ms", "macs"), "one of them has to be val_accuracy, val_top5, val_likelihood or val_loss"),
        (("val_accuracy", "val_loss", "macs"), "strategy 'bo' takes one of them"),
        (("val_accuracy", "val_top5_accuracy"), "and a search goes by one of them; only a table"),
        (("val_accuracy", "latency_ms@pi"), "'pi' is no device of this search"),
    ],
)
def test_objectives_that_cannot_be_are_refused(objectives: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight(SearchConfig(objectives=objectives))


@pytest.mark.parametrize(
    ("objective", "task", "score"),
    [
        ("val_accuracy", "classification", "accuracy"),
        ("val_top5_accuracy", "classification@top5", "top5"),
        ("val_top5", "classification@top5", "top5"),
        ("val_loss", "classification@likelihood", "likelihood"),
    ],
)
def test_the_score_that_a_search_goes_by(objective: str, task: str, score: str) -> None:
    config = SearchConfig(objectives=("latency_ms", objective))
    preflight(config)
    assert task_of(config).name == task and score_name(task_of(config)) == score
    assert objectives_of(config, ["host"]) == ("latency_ms", "val_accuracy")


def test_the_loss_stays_itself_beside_a_score_and_for_other_tasks() -> None:
    both = SearchConfig(objectives=("val_loss", "val_accuracy"), strategy="nsga2")
    assert objectives_of(both, ["host"]) == ("val_loss", "val_accuracy")
    numbers = SearchConfig(objectives=("val_loss", "macs"), task="regression")
    assert task_of(numbers).name == "regression" and objectives_of(numbers, ["host"]) == ("val_loss", "macs")


def test_the_loss_may_stand_for_the_accuracy() -> None:
    preflight(SearchConfig(objectives=("val_loss", "latency_ms")))
    space = DepthSpace()
    problem = Problem.parse(["val_loss", "latency_ms"])
    strategy = make_strategy("bo", space, problem, population=5, seed=0, costs_of=depth_costs(space))

    def evaluate(archs: Sequence[Arch]) -> list[dict[str, float]]:
        rows = [depth_metrics(space, arch) for arch in archs]
        return [{**row, "val_loss": 2 * (1 - row["val_accuracy"])} for row in rows]

    run(strategy, evaluate, 4)
    best = strategy.history.trials[int(np.argmin([t.metrics["val_loss"] for t in strategy.history.trials]))]
    beliefs = Beliefs.of(strategy, [{"arch": best.arch, "val_accuracy": 0.1, "val_loss": 1e-3}])
    # Picks and the report read errors of accuracies; the second training counts by its loss.
    assert beliefs.of_arch(best.arch) == {} and best.arch in beliefs.front()
