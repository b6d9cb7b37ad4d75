"""Rows: stored and restored to the bit, refused when they are not ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from hwnas.core.budget import Budget
from hwnas.front import Generational, Problem, load_trials, make_strategy, run, save_trials
from targets.errors import DamagedFileError, HwnasError, UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, depth_metrics

SPACE = DepthSpace()
PROBLEM = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 14.0)])


def searched(generations: int, seed: int = 0) -> Generational:
    strategy = make_strategy("nsga2", SPACE, PROBLEM, population=6, seed=seed)
    run(strategy, DepthEvaluator(SPACE), generations)
    return strategy


def test_rows_survive_the_file(tmp_path: Path) -> None:
    strategy, path = searched(3), tmp_path / "evaluated.json"
    save_trials(path, strategy.history, strategy.identity)
    again = make_strategy("nsga2", SPACE, PROBLEM, population=6, seed=0)
    again.restore(load_trials(path, again.identity))
    assert again.history.trials == strategy.history.trials
    assert again.ask() == strategy.ask()


def test_another_search_is_refused_with_what_differs(tmp_path: Path) -> None:
    strategy, path = searched(1), tmp_path / "evaluated.json"
    save_trials(path, strategy.history, strategy.identity)
    other = make_strategy("nsga2", SPACE, Problem.parse(["val_accuracy", "latency_ms"]), population=6, seed=1)
    with pytest.raises(UsageError, match=r"budgets: .*14.0.* -> \{\}; seed: 0 -> 1"):
        load_trials(path, other.identity)


def test_a_file_cut_at_any_byte_is_damaged(tmp_path: Path) -> None:
    strategy, path = searched(1), tmp_path / "evaluated.json"
    save_trials(path, strategy.history, strategy.identity)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):  # all but the last newline is needed
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"evaluated\.json"):
            load_trials(path, strategy.identity)


@pytest.mark.parametrize("content", ["[]", '{"schema": 99}', '{"schema": 1, "rows": {}}'])
def test_another_document_is_damaged(tmp_path: Path, content: str) -> None:
    path = tmp_path / "evaluated.json"
    path.write_text(content)
    with pytest.raises(DamagedFileError, match=r"evaluated\.json"):
        load_trials(path, {})


def broken(rows: list[dict[str, Any]], number: int, key: str, value: object) -> list[dict[str, Any]]:
    copy: list[dict[str, Any]] = json.loads(json.dumps(rows))
    copy[number][key] = value
    return copy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("number", 3),
        ("generation", 5),
        ("generation", "0"),
        ("arch", "4:op9/op0"),
        ("arch", 7),
        ("metrics", {"val_accuracy": 2.0, "latency_ms": 1.0}),
        ("metrics", {}),
        ("metrics", None),
        ("failure", "made up"),
        ("feasible", None),
    ],
)
def test_a_row_that_does_not_fit_is_named(key: str, value: object) -> None:
    rows = [r.to_json() for r in searched(1).history.trials]
    with pytest.raises(DamagedFileError, match="row 2"):
        make_strategy("nsga2", SPACE, PROBLEM, population=6, seed=0).restore(broken(rows, 2, key, value))


def test_missing_repeated_and_equivalent_rows_are_refused() -> None:
    rows = [r.to_json() for r in searched(2).history.trials]
    for wrong in (rows[1:], rows[:2] + rows[3:], [*rows, rows[0] | {"number": 12}]):
        with pytest.raises(DamagedFileError):
            make_strategy("nsga2", SPACE, PROBLEM, population=6, seed=0).restore(wrong)
    with pytest.raises(DamagedFileError, match="row 0"):
        make_strategy("nsga2", SPACE, PROBLEM, population=6, seed=0).restore(
            [{k: v for k, v in rows[0].items() if k != "arch"}]
        )


def test_a_history_is_restored_once() -> None:
    strategy = searched(1)
    with pytest.raises(UsageError, match="fresh"):
        strategy.restore([r.to_json() for r in strategy.history.trials])


def test_hypervolume_never_falls_and_counts_what_was_evaluated() -> None:
    found = searched(5).history.hypervolumes()
    values = [f["value"] for f in found]
    assert values == sorted(values) and 0 < values[0] < 1
    assert [f["evaluated"] for f in found] == [6, 12, 18, 24, 30]


def test_the_front_over_some_objectives() -> None:
    problem = Problem.parse(["val_accuracy", "latency_ms", "macs"])
    strategy = make_strategy("nsga2", SPACE, problem, population=20, seed=0)
    run(strategy, DepthEvaluator(SPACE), 2)
    rows = strategy.history.trials
    best = [
        r
        for r in rows
        if not any(
            o.metrics["latency_ms"] <= r.metrics["latency_ms"]
            and o.metrics["val_accuracy"] >= r.metrics["val_accuracy"]
            and o.metrics != r.metrics
            for o in rows
        )
    ]
    assert strategy.history.front(["latency_ms", "val_accuracy"]) == best


def test_an_architecture_cannot_be_added_twice() -> None:
    history = searched(1).history
    arch = SPACE.from_string(history.trials[0].arch)
    with pytest.raises(HwnasError, match="evaluated before"):
        history.add([arch], ["child"], [depth_metrics(SPACE, arch)])
