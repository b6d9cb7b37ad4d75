"""NSGA-III: the contract, its directions, and who survives of the last rank."""

import math

import numpy as np
import pytest

from hwnas.front import Problem, make_strategy
from hwnas.front.strategies.nsga3 import associate, lattice, niches, normalised
from targets.errors import UsageError
from tests.support.strategies import DepthSpace, StrategyContract


class TestNsga3(StrategyContract):
    name = "nsga3"


@pytest.mark.parametrize(("m", "at_least", "p"), [(2, 12, 11), (3, 91, 12), (5, 210, 6)])
def test_directions_are_the_lattice_of_das_and_dennis(m: int, at_least: int, p: int) -> None:
    """Deb & Jain 2014, table I: 91 points of 12 divisions for 3 objectives, 210 of 6 for 5."""
    points = lattice(m, at_least)
    assert len(points) == math.comb(p + m - 1, p) == at_least
    assert np.allclose(points.sum(axis=1), 1) and len(np.unique(points, axis=0)) == len(points)
    assert points.min() == 0


def test_a_point_belongs_to_the_ray_that_it_lies_on() -> None:
    directions = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    niche, distance = associate(np.array([[3.0, 0.0], [2.0, 2.0], [0.0, 0.1], [3.0, 1.0]]), directions)
    assert niche.tolist() == [0, 1, 2, 0]
    assert distance == pytest.approx([0, 0, 0, 1], abs=1e-6)


def test_the_scale_is_that_of_the_first_rank() -> None:
    points = np.array([[0.0, 10.0], [2.0, 5.0], [4.0, 30.0]])
    assert normalised(points, np.array([0, 0, 1])).tolist() == [[0, 1], [1, 0], [2, 5]]


def test_the_emptiest_niche_gets_its_nearest_first() -> None:
    niche, distance = np.array([0, 0, 1, 1, 1]), np.array([0.0, 0.1, 0.3, 0.2, 0.1])
    rng = np.random.default_rng(0)
    assert niches([0], np.array([1, 2, 3]), niche, distance, 2, 3, rng) == [3]
    # both niches hold one: a random one of those that still have members
    assert niches([0, 4], np.array([2, 3]), niche, distance, 3, 3, rng)[0] in (2, 3)


def test_a_population_of_one_cannot_breed() -> None:
    with pytest.raises(UsageError, match="strategy 'nsga3': population must be at least 2"):
        make_strategy("nsga3", DepthSpace(), Problem.parse(["val_accuracy"]), population=1, seed=0)
