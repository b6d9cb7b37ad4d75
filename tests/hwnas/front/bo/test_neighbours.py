"""Neighbours against brute force over a whole space."""

import numpy as np
import pytest

from hwnas.core.mix import Choice
from hwnas.core.space import Space
from hwnas.front.bo.neighbours import neighbours, random_neighbours

FREE = Space("free", [Choice("a", ("x", "y", "z")), Choice("b", ("x", "y"))])
OPTIONS = ("none", "p", "q")
NODES = Space(
    "nodes",
    [Choice("first", ("s", "t")), *(Choice(f"n.{i}", OPTIONS, "n", 2) for i in range(4))],
)


def steps(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """One choice differs; or, where a node keeps its edges, one edge went and another came."""
    differ = [c for c in range(len(a)) if a[c] != b[c]]
    if len(differ) == 1:
        return True
    moved = [(a[c] == 0, b[c] == 0) for c in differ]
    return 0 not in differ and sorted(moved) == [(False, True), (True, False)]


@pytest.mark.parametrize("space", [FREE, NODES], ids=lambda s: s.name)
def test_they_are_all_architectures_one_step_away(space: Space) -> None:
    for arch in list(space.enumerate())[::5]:
        near = list(neighbours(space, arch))
        assert len(near) == len(set(near))
        assert set(near) == {other for other in space.enumerate() if other != arch and steps(arch, other)}


@pytest.mark.parametrize("space", [FREE, NODES], ids=lambda s: s.name)
def test_random_ones_are_among_them_and_each_of_them_comes(space: Space) -> None:
    rng = np.random.default_rng(0)
    arch = next(iter(space.enumerate()))
    drawn = set(random_neighbours(space, [arch] * 400, rng))
    assert drawn == set(neighbours(space, arch))


def test_a_choice_without_another_option_stays() -> None:
    single = Space("single", [Choice("a", ("x",))])
    assert random_neighbours(single, [(0,)], np.random.default_rng(0)) == [(0,)]
