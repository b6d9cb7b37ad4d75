"""Random steps against the list of all neighbours."""

import numpy as np
import pytest

from hwnas.core.choice import Choice
from hwnas.core.space import Space
from hwnas.front.bo.steps import random_steps
from hwnas.front.neighbours import neighbours

FREE = Space("free", [Choice("a", ("x", "y", "z")), Choice("b", ("x", "y"))])
OPTIONS = ("none", "p", "q")
NODES = Space("nodes", [Choice("first", ("s", "t")), *(Choice(f"n.{i}", OPTIONS, "n", 2) for i in range(4))])


@pytest.mark.parametrize("space", [FREE, NODES], ids=lambda s: s.name)
def test_they_lead_to_every_neighbour_and_to_nothing_else(space: Space) -> None:
    rng = np.random.default_rng(0)
    for arch in list(space.enumerate())[::9]:
        assert set(random_steps(space, [arch] * 400, rng)) == set(neighbours(space, arch))


def test_a_choice_without_another_option_stays() -> None:
    single = Space("single", [Choice("a", ("x",))])
    assert random_steps(single, [(0,)], np.random.default_rng(0)) == [(0,)]
