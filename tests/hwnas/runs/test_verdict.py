"""The verdict names what is wrong with a run, the worst first, and stays silent on what is not recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hwnas.runs.summary import next_commands, verdict_lines
from hwnas.runs.verdict import LEVELS, verdict

Change = Callable[[dict[str, Any]], None]


def point(arch_id: str, origin: str, test: float, latency_ms: float, **more: Any) -> dict[str, Any]:
    measured = {
        "test_accuracy": test,
        "val_accuracy": test,
        "test_images": 1000,
        "latency_p50_ms": latency_ms,
        "flag": "ok",
        **more.pop("measured", {}),
    }
    return {"arch_id": arch_id, "origin": origin, "feasible": True, "measured": measured, **more}


def sound() -> dict[str, Any]:
    """front.json of a run with nothing to complain of."""
    return {
        "chosen": "a",
        "points": [
            point("a", "front", 0.95, 2.0),
            point("b", "front", 0.90, 1.0),
            point("r", "random", 0.80, 1.9),
        ],
        "budgets": [{"metric": "latency_ms", "limit": 2.5}],
        "largest": {"latency_ms": 6.0},
        "data": {"n_val": 1000, "majority_share_test": 0.1},
        "training": {"epochs": 12, "steps": 600, "train_accuracy": 0.97, "last_quarter_fall": 0.2},
        "linear_test_accuracy": 0.4,
        "rank_correlation": {"search_vs_trained": 0.9, "n": 7},
    }


def codes(front: dict[str, Any]) -> dict[str, str]:
    return {finding.code: finding.level for finding in verdict(front)}


def test_a_sound_run_is_praised_only() -> None:
    assert codes(sound()) == {
        "beats_linear_model": "good",
        "beats_random": "good",
        "ranking_good": "good",
    }


def outside(front: dict[str, Any]) -> None:
    front["points"][0]["feasible"] = False


def chance(front: dict[str, Any]) -> None:
    front["points"][0]["measured"]["test_accuracy"] = 0.11


def linear(front: dict[str, Any]) -> None:
    front["linear_test_accuracy"] = 0.96


def linear_ties(front: dict[str, Any]) -> None:
    front["linear_test_accuracy"] = 0.945


def few_steps(front: dict[str, Any]) -> None:
    front["training"] |= {"epochs": 12, "steps": 72}


def improving(front: dict[str, Any]) -> None:
    front["training"] |= {"train_accuracy": 0.6}


def loose_budget(front: dict[str, Any]) -> None:
    front["budgets"][0]["limit"] = 36.0


def random_as_good(front: dict[str, Any]) -> None:
    front["points"][2]["measured"]["test_accuracy"] = 0.945


def diverged(front: dict[str, Any]) -> None:
    front["points"].append({"arch_id": "m", "origin": "mobilenet_v3", "failure": "diverged at step 9"})


def no_svc(front: dict[str, Any]) -> None:
    front["pixel_models"] = [{"name": "svc", "failure": "900 classes"}]


def busy(front: dict[str, Any]) -> None:
    front["points"][1]["measured"] |= {
        "flag": "unstable",
        "flag_reason": "another process took 40 % of the CPU",
    }


def few_images(front: dict[str, Any]) -> None:
    front["data"]["n_val"] = 40


def few_of_a_class(front: dict[str, Any]) -> None:
    front["data"]["images_per_class"] = 38


def repeated(front: dict[str, Any]) -> None:
    few_of_a_class(front)
    front["repeats"] = {"k": 5, "mean": 0.81, "low": 0.7, "high": 0.92}


def weak_ranking(front: dict[str, Any]) -> None:
    front["rank_correlation"]["search_vs_trained"] = -0.41


def test_candidates_that_the_printed_table_leaves_out_are_counted_apart() -> None:
    front = sound()
    front["points"] += [
        {"arch_id": f"c{i}", "origin": "front", "measured": {"latency_p50_ms": 1.0, "flag": flag}}
        for i, flag in enumerate(("ok", "unstable"))
    ]
    (finding,) = (f for f in verdict(front) if f.code == "measurements_unstable")
    assert "of 1 of 2 candidates that were measured and not trained (front.csv has them)" in finding.sentence
    assert "trained networks" not in finding.sentence


def test_flags_of_further_devices_count_and_predicted_latencies_do_not() -> None:
    front = sound()
    for point_ in front["points"]:
        point_["measured"] |= {"flag": "predicted", "flag@pi": "ok"}
    assert "measurements_unstable" not in codes(front)
    front["points"][0]["measured"]["flag@pi"] = "unstable"
    assert codes(front)["measurements_unstable"] == "warn"


@pytest.mark.parametrize(
    ("change", "code", "level", "words"),
    [
        (outside, "outside_budget", "bad", "latency_ms <= 2.5); the one shown is the fastest, with 2 ms"),
        (chance, "chance_level", "bad", "no better than guessing"),
        (linear, "linear_model_better", "bad", "linear model on pixels 96.0 %"),
        (linear_ties, "linear_model_ties", "warn", "cannot be told"),
        (few_steps, "trained_too_short", "warn", "72 optimiser steps (12 epochs × 6 steps)"),
        (improving, "still_improving", "warn", "took 20 % off its loss"),
        (loose_budget, "budget_does_not_bind", "warn", "6.0 times what the largest network"),
        (random_as_good, "random_ties", "warn", "ties with the chosen one"),
        (diverged, "baseline_failed", "warn", "diverged at step 9"),
        (no_svc, "baseline_failed", "warn", "the SVC on pixels failed: 900 classes"),
        (busy, "measurements_unstable", "warn", "1 of 3 trained networks (b) is not known to a few "),
        (busy, "measurements_unstable", "warn", "another process took 40 %"),
        (few_images, "few_validation_images", "warn", "40 validation images"),
        (few_of_a_class, "few_images", "warn", "few images, 38 of a class"),
        (repeated, "repeated_splits", "warn", "5 splits drawn anew the chosen network has 81.0 % on"),
        (repeated, "repeated_splits", "warn", "70.0 % to 92.0 %), on the test images of the run 95.0 %"),
        (weak_ranking, "ranking_weak", "warn", "-0.41"),
    ],
)
def test_each_fault_is_found_and_said(change: Change, code: str, level: str, words: str) -> None:
    front = sound()
    change(front)
    finding = next(f for f in verdict(front) if f.code == code)
    assert finding.level == level
    assert words in finding.sentence
    assert finding.advice


def test_the_worst_comes_first() -> None:
    front = sound()
    for change in (few_steps, loose_budget, chance):
        change(front)
    levels = [LEVELS.index(finding.level) for finding in verdict(front)]
    assert levels == sorted(levels)
    assert verdict(front)[0].code == "chance_level"
    assert verdict_lines(front)[0].startswith("BAD ")


@pytest.mark.parametrize("missing", sorted(sound()))
def test_what_is_not_recorded_is_left_out(missing: str) -> None:
    for value in ("absent", None):
        front = sound()
        if value is None:
            front[missing] = None
        else:
            del front[missing]
        verdict(front)
    assert verdict({}) == []


def test_a_random_network_that_needs_more_time_proves_nothing() -> None:
    front = sound()
    front["points"][2]["measured"] |= {"test_accuracy": 0.96, "latency_p50_ms": 4.0}
    assert "random_ties" not in codes(front)


def test_where_all_is_right_a_smaller_network_is_the_advice() -> None:
    front = sound()
    for network in (front["points"][0], front["points"][2]):
        network["measured"]["test_accuracy"] = 1.0
    (tie,) = (finding for finding in verdict(front) if finding.code == "random_ties")
    assert "--budget-ms" in tie.advice and "search longer" not in tie.advice


@pytest.mark.parametrize(("task", "trains_on"), [(None, 1), ("classification", 1), ("regression", 1)])
def test_what_is_suggested_next_works_for_the_task(task: str | None, trains_on: int) -> None:
    commands = [command for command, _ in next_commands("runs/x", "a", task)]
    assert sum(command.startswith("hwnas train --pick runs/x/a") for command in commands) == trains_on
