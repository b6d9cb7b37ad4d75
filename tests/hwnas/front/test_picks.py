"""Which points are picked: by hand on small fronts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.front import choose_picks, non_dominated
from hwnas.front.picks import Standing
from targets.errors import UsageError

LATENCY_MS = [1.0, 2.0, 5.0, 8.0, 16.0, 3.0, 9.0]
ACCURACY = [0.5, 0.8, 0.84, 0.88, 0.9, 0.7, 0.86]  # the last two are dominated


def names(n: int) -> dict[int, str]:
    return {p.index: p.why for p in choose_picks(LATENCY_MS, ACCURACY, n)}


def test_the_first_three_are_the_most_accurate_the_fastest_and_the_knee() -> None:
    assert names(1) == {4: "accurate"}
    assert names(2) == {0: "fastest", 4: "accurate"}
    assert names(3) == {0: "fastest", 1: "knee", 4: "accurate"}


def test_then_the_point_that_adds_most_hypervolume() -> None:
    """On axes from 0 to 1: 5 ms adds 0.42 * 0.10 to the knee and the ends, 8 ms adds 0.25 * 0.20."""
    assert names(4) == {0: "fastest", 1: "knee", 3: "spread", 4: "accurate"}
    assert names(5) == {0: "fastest", 1: "knee", 2: "spread", 3: "spread", 4: "accurate"}


def test_a_point_hardly_better_than_the_knee_is_left_for_one_in_a_gap() -> None:
    """Accuracies of one search: a training cannot tell 0.766 from 0.765."""
    latency = [0.0289, 0.0393, 0.0438, 0.0519, 0.0617, 0.0730]
    picks = choose_picks(latency, [0.627, 0.661, 0.765, 0.766, 0.774, 0.794], 5)
    assert [p.index for p in picks] == [0, 1, 2, 4, 5]


def test_with_noise_a_step_that_will_last_comes_before_a_wide_gap() -> None:
    """4 ms adds half of the axis times 0.016; 1.02 ms less volume, but 15 points that noise cannot turn."""
    latency, accuracy = [1.0, 1.02, 1.04, 4.0, 16.0], [0.5, 0.65, 0.8, 0.805, 0.81]
    assert [p.index for p in choose_picks(latency, accuracy, 4)] == [0, 2, 3, 4]
    assert [p.index for p in choose_picks(latency, accuracy, 4, noise=0.02)] == [0, 1, 2, 4]
    latency[1:3] = [1.002, 1.004]
    assert [p.index for p in choose_picks(latency, accuracy, 4, noise=0.02)] == [0, 1, 2, 4]
    table = choose_picks(latency, accuracy, 4, noise=0.02, latency_noise=0.03)
    assert [p.index for p in table] == [0, 2, 3, 4]  # that table cannot tell 1 from 1.004 ms


def test_how_many_picks_stand() -> None:
    """Of two alike and one far above: the faster one always, the third always, the second in half of all."""
    three = Standing(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.5, 0.9]), 0.01)
    assert three.expected([0, 1, 2]) == pytest.approx(2.5, abs=0.05)
    assert three.expected([0, 2]) == 2 and three.expected([1]) == 1
    assert Standing(np.array([1.0, 2.0]), np.array([0.5, 0.5]), 0.0).expected([0, 1]) == 1


def test_a_network_faster_by_less_than_the_table_knows_may_be_the_slower_one() -> None:
    """1 % faster and less accurate: it stands where the drawn latencies keep their order."""
    latency, accuracy = np.array([1.0, 1.01]), np.array([0.5, 0.6])
    standing = Standing(latency, accuracy, 0.0, 0.02)
    share = 0.5 * (1 + math.erf(math.log(1.01) / (0.02 * math.sqrt(2)) / math.sqrt(2)))
    assert standing.expected([0, 1]) == pytest.approx(1 + share, abs=0.05)
    assert Standing(latency, accuracy, 0.0).expected([0, 1]) == 2


def test_dominated_points_only_fill_up() -> None:
    assert set(names(6)) - set(names(5)) <= {5, 6}
    assert len(names(7)) == len(names(99)) == 7


def test_they_come_fastest_first() -> None:
    picks = choose_picks(LATENCY_MS, ACCURACY, 5)
    assert [p.index for p in picks] == [0, 1, 2, 3, 4]


def test_of_equal_points_the_first_is_picked_and_the_others_come_last() -> None:
    picks = choose_picks([2.0, 1.0, 1.0, 2.0, 3.0], [0.8, 0.5, 0.5, 0.8, 0.7], 3)
    assert {p.index for p in picks} == {0, 1, 4}


def test_a_point_that_is_all_is_the_most_accurate() -> None:
    assert [p.why for p in choose_picks([1.0], [0.5], 3)] == ["accurate"]
    assert choose_picks([], [], 3) == []


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12), st.integers(1, 14))
def test_as_many_as_asked_all_different_and_of_the_front_first(points: list[tuple[int, int]], n: int) -> None:
    latency, accuracy = (np.array(axis, dtype=float) for axis in zip(*points, strict=True))
    chosen = [p.index for p in choose_picks(latency, accuracy, n)]
    assert len(chosen) == len(set(chosen)) == min(n, len(points))
    front = non_dominated(np.column_stack([latency, -accuracy]))
    distinct = len({points[i] for i in np.flatnonzero(front)})
    assert len({points[i] for i in chosen if front[i]}) == min(n, distinct)


@pytest.mark.parametrize(
    ("latency", "accuracy", "n"),
    [([1.0], [0.5], 0), ([1.0, 2.0], [0.5], 2), ([0.0], [0.5], 1), ([-1.0], [0.5], 1), ([1.0], [np.nan], 1)],
)
def test_bad_input_is_refused(latency: list[float], accuracy: list[float], n: int) -> None:
    with pytest.raises(UsageError):
        choose_picks(latency, accuracy, n)


@pytest.mark.parametrize(
    ("prefer", "why"), [("accuracy", "accurate"), ("balance", "knee"), ("latency", "fastest")]
)
def test_a_single_pick_is_the_preferred_one(prefer: str, why: str) -> None:
    assert [p.why for p in choose_picks(LATENCY_MS, ACCURACY, 1, prefer)] == [why]
