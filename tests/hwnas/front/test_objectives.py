"""Objectives, constraints and the hypervolume, by hand."""

import math

import optuna
import pytest
from optuna.trial import create_trial

from hwnas.core.budget import Budget
from hwnas.front import Objective, Problem, TrialValues
from hwnas.front.optuna_trials import quiet
from targets.errors import UsageError


def test_accuracy_is_maximised_and_costs_are_minimised() -> None:
    problem = Problem.parse(["val_accuracy", "latency_ms", "macs", "peak_memory_mb@phone"])
    assert [o.maximise for o in problem.objectives] == [True, False, False, False]


def test_an_unknown_objective_gets_a_hint() -> None:
    with pytest.raises(UsageError, match="did you mean 'val_accuracy'"):
        Objective.parse("val_acuracy")


@pytest.mark.parametrize(
    ("objectives", "budgets", "worst"),
    [
        ([], [], {}),
        (["macs", "macs"], [], {}),
        (["macs"], [Budget("macs", 1.0), Budget("macs", 2.0)], {}),
        (["macs"], [], {"macs": 0.0}),
        (["macs"], [], {"macs": math.nan}),
    ],
)
def test_an_unusable_problem_are_refused(
    objectives: list[str], budgets: list[Budget], worst: dict[str, float]
) -> None:
    with pytest.raises(UsageError):
        Problem.parse(objectives, budgets, worst)


def test_values_and_constraints_come_together() -> None:
    problem = Problem.parse(["val_accuracy", "macs"], [Budget("latency_ms", 10.0), Budget("macs", 4e6)])
    assert problem.metrics == ("val_accuracy", "macs", "latency_ms")
    values = problem.values_of({"val_accuracy": 0.8, "macs": 5e6, "latency_ms": 10.0})
    assert values.objectives == (0.8, 5e6)
    assert values.constraints == {"latency_ms": 0.0, "macs": 0.25}
    assert not values.feasible
    assert problem.values_of({"val_accuracy": 0.8, "macs": 4e6, "latency_ms": 10.0}).feasible


def test_the_library_still_takes_a_trial_without_constraints_for_feasible() -> None:
    """Optuna #6774: this is why values and constraints are set in one place."""
    with quiet():
        study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[0.5, 1.0], constraints={"latency_ms": 0.5}))
    study.add_trial(create_trial(values=[0.4, 1.0]))
    assert [t.number for t in study.best_trials] == [1]


HALVES = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 10.0)])


def values(accuracy: float, latency_ms: float) -> TrialValues:
    return HALVES.values_of({"val_accuracy": accuracy, "latency_ms": latency_ms})


def test_hypervolume_is_a_share_of_the_box_between_the_ideal_and_the_budget() -> None:
    """Accuracy 0.5 at half the budget dominates a quarter; 0.9 at nine tenths adds 0.4 x 0.1 of the box."""
    reference = HALVES.reference([])
    assert reference == {"val_accuracy": 0.0, "latency_ms": 10.0}
    assert HALVES.hypervolume([values(0.5, 5.0)], reference) == pytest.approx(0.25)
    both = [values(0.5, 5.0), values(0.9, 9.0)]
    assert HALVES.hypervolume(both, reference) == pytest.approx(0.25 + 0.4 * 0.1)


def test_over_budget_points_add_no_hypervolume() -> None:
    reference = HALVES.reference([])
    assert HALVES.hypervolume([values(0.99, 10.1)], reference) == 0.0
    assert HALVES.hypervolume([], reference) == 0.0


def test_the_reference_without_a_budget_is_the_worst_given_or_of_the_first_generation() -> None:
    problem = Problem.parse(["val_accuracy", "latency_ms", "macs"], worst={"macs": 9e6})
    first = [
        problem.values_of({"val_accuracy": 0.9, "latency_ms": 3.0, "macs": 1e6}),
        problem.values_of({"val_accuracy": 0.5, "latency_ms": 7.0, "macs": 2e6}),
    ]
    assert problem.reference(first) == {"val_accuracy": 0.0, "latency_ms": 7.0, "macs": 9e6}
    # 0.9 x 4/7 x 8/9 of the box, and the second point adds nothing at latency 7 = reference
    assert problem.hypervolume(first, problem.reference(first)) == pytest.approx(0.9 * 4 / 7 * 8 / 9)


def test_what_lies_in_a_soft_margin_is_judged_by_a_larger_error() -> None:
    """0.9 at 13 ms of 12~2: the error 0.1 counts 1.5 times, so that 0.86 at 12 ms is better, 0.84 is not."""
    problem = Problem.parse(["val_accuracy"], ["latency_ms<=12~2"])
    found = [(0.9, 13.0), (0.86, 12.0), (0.84, 12.0), (0.99, 14.5)]
    values = [problem.values_of({"val_accuracy": a, "latency_ms": t}) for a, t in found]
    assert [v.feasible for v in values] == [True, True, True, False]
    assert values[0].objectives == (0.9,)  # as measured
    assert problem.places(values).tolist() == [1, 0, 2, 3]
    losses = Problem.parse(["val_loss"], ["latency_ms<=12~2"])
    assert losses.minimised([losses.values_of({"val_loss": 0.4, "latency_ms": 14.0})]).tolist() == [[0.8]]


def test_top_5_is_an_accuracy() -> None:
    assert Problem.parse(["val_top5_accuracy"]).objectives[0].maximise
