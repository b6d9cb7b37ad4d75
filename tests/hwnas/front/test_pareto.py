"""Pareto mathematics against definitions applied by brute force, and examples worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwnas.front import crowding, hypervolume, knee, non_dominated, ranks
from targets.errors import UsageError

# A coarse grid, so that equal points and equal coordinates are common.
POINTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), min_size=1, max_size=10)
)


def dominates(a: list[int], b: list[int]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(POINTS)
def test_non_dominated_is_the_definition(points: list[list[int]]) -> None:
    expected = [not any(dominates(q, p) for q in points) for p in points]
    assert non_dominated(points).tolist() == expected


@given(POINTS, st.data())
def test_ranks_peel_fronts_and_put_infeasible_points_behind(
    points: list[list[int]], data: st.DataObject
) -> None:
    over = data.draw(st.lists(st.integers(-1, 3), min_size=len(points), max_size=len(points)))

    def beats(i: int, j: int) -> bool:
        """Constrained dominance, Deb 2002, definition 1."""
        if over[i] > 0 or over[j] > 0:
            return max(over[i], 0) < max(over[j], 0)
        return dominates(points[i], points[j])

    expected: dict[int, int] = {}
    left, rank = set(range(len(points))), 0
    while left:
        front = {i for i in left if not any(beats(j, i) for j in left)}
        expected |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    assert ranks(points, over).tolist() == [expected[i] for i in range(len(points))]


@given(POINTS)
def test_hypervolume_counts_the_dominated_unit_cells(points: list[list[int]]) -> None:
    """On integer points the volume up to (5, ..., 5) is the number of grid cells above a point."""
    m = len(points[0])
    cells = itertools.product(range(5), repeat=m)
    expected = sum(any(all(p[k] <= c[k] for k in range(m)) for p in points) for c in cells)
    assert hypervolume(points, [5.0] * m) == pytest.approx(expected)


def test_hypervolume_of_the_example_in_the_manual_of_moocore() -> None:
    """Documentation of moocore.hypervolume: 38.0."""
    assert hypervolume([[5, 5], [4, 6], [2, 7], [7, 4]], [10, 10]) == 38.0


def test_what_lies_beyond_the_reference_adds_nothing() -> None:
    assert hypervolume([[1, 1], [0, 9]], [2, 2]) == 1.0
    assert hypervolume(np.empty((0, 2)), [2, 2]) == 0.0


def test_crowding_by_hand() -> None:
    """Inner points: (10-0)/10 + (10-2)/10 = 1.8 and (4-1)/10 + ... on the front (0,10) (1,4) (4,2) (10,0)."""
    points = [[0, 10], [1, 4], [4, 2], [10, 0]]
    assert crowding(points).tolist() == [
        math.inf,
        pytest.approx(4 / 10 + 8 / 10),
        pytest.approx(9 / 10 + 4 / 10),
        math.inf,
    ]
    assert crowding([[1, 1], [1, 1]]).tolist() == [0, 0]
    assert crowding(np.empty((0, 2))).tolist() == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    points = [[3.0, 3.0], [bad, 1.0], [2.0, 2.0]]
    for function in (non_dominated, ranks, crowding, knee):
        with pytest.raises(UsageError, match="point 1 is not finite"):
            function(points)
    with pytest.raises(UsageError, match="point 1 is not finite"):
        hypervolume(points, [4.0, 4.0])
    with pytest.raises(UsageError, match="reference"):
        hypervolume([[1.0, 1.0]], [bad, 1.0])
    with pytest.raises(UsageError, match="violations"):
        ranks([[1.0, 1.0]], [bad])


def test_shapes_that_make_no_sense_are_refused() -> None:
    for function in (non_dominated, ranks, crowding):
        with pytest.raises(UsageError, match="shape"):
            function([1.0, 2.0])
    with pytest.raises(UsageError, match="two axes"):
        knee([[1.0, 2.0, 3.0]])
    with pytest.raises(UsageError, match="reference"):
        hypervolume([[1.0, 2.0]], [1.0])


def test_no_points_have_no_front() -> None:
    assert non_dominated(np.empty((0, 3))).tolist() == ranks(np.empty((0, 3))).tolist() == []


FRONT: list[list[float]] = [[10, 0.4], [12, 0.15], [30, 0.1], [50, 0.05], [60, 0.0]]


def distance_to_chord(front: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perpendicular distance (positive on the better side) after scaling both axes to 0..1."""
    scaled = (front - front.min(0)) / np.ptp(front, axis=0)
    a, b = scaled[np.argmin(scaled[:, 0])], scaled[np.argmax(scaled[:, 0])]
    d, r = b - a, scaled - a
    return -(d[0] * r[:, 1] - d[1] * r[:, 0]) / np.hypot(*d)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 1, 3]])
def test_the_knee_is_farthest_from_the_chord(order: list[int]) -> None:
    front = np.array(FRONT)[order]
    assert knee(front) == order.index(1) == int(np.argmax(distance_to_chord(front)))


def test_the_knee_of_one_two_and_straight_fronts() -> None:
    assert knee([[3.0, 1.0]]) == 0
    assert knee([[3.0, 1.0], [1.0, 2.0]]) == 1
    assert knee([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]) == 1
    assert knee([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]) in (0, 1, 2)
