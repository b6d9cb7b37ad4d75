"""The sizes that stages of Once-for-all search, and spaces that have none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwnas.core.choice import Choice
from hwnas.core.space import Space
from hwnas.gradient.elastic import options_within
from hwnas.gradient.methods import METHODS
from hwnas.gradient.stage import Stage
from hwnas.gradient.stage_supernets import require_fit
from hwnas.spaces import load_space
from targets.errors import UsageError
from tests.support.spaces import mobile_space


def names(space: Space, limits: tuple[tuple[str, int], ...]) -> dict[str, set[str]]:
    kept = options_within(space, limits, "test")
    return {c.name: {c.options[i] for i in left} for c, left in zip(space.choices, kept, strict=True)}


def test_progressive_shrinking_leaves_the_sizes_of_once_for_all() -> None:
    """Kernel 7, 5, 3 first, then depths 4, 3, 2, then expansions 6, 3; layers without a choice stay."""
    space = mobile_space("proxyless", image_size=224)
    largest = names(space, ())
    assert {o for name, left in largest.items() for o in left if "." in name} == {"mb7e6", "mb3e1"}
    kernel = names(space, (("kernel", 1),))
    assert kernel["stage2.0"] == kernel["stage2.3"] == {"mb5e6", "mb7e6"}
    depth = names(space, (("kernel", 2), ("depth", 1)))
    assert ["skip" in depth[f"stage2.{i}"] for i in range(4)] == [False, False, False, True]
    depth = names(space, (("kernel", 2), ("depth", 2)))
    assert ["skip" in depth[f"stage2.{i}"] for i in range(4)] == [False, False, True, True]
    assert names(space, (("kernel", 2), ("expand", 1)))["stage3.0"] == set(space.operations) - {
        "mb3e1",
        "skip",
    }


def test_operations_that_differ_in_kind_are_no_smaller_than_one_another() -> None:
    space = mobile_space()
    left = names(space, ())
    assert left["stage2.0"] == {"mb7e6", "mb7e6-se-hs", "mb3e6-se", "mb3e6-hs", "fused3e3", "fused3e6-hs"}
    assert left["stage2"] == {max(space.choices[space.stages[1].width_choice].options, key=int)}


def test_where_nothing_has_every_largest_size_the_nearest_is_left() -> None:
    class Odd(Space):
        def smaller_by(self, choice: int, option: int) -> dict[str, int]:
            return [{"kernel": 1}, {"expand": 1}, {"kernel": 1, "expand": 1}][option]

    space = Odd("odd", [Choice("a", ("x", "y", "z"))])
    assert options_within(space, (), "test") == ((0, 1),)
    assert options_within(space, (("kernel", 1),), "test") == ((0,),)
    assert options_within(space, None, "test") == ((0, 1, 2),)


def test_a_space_without_sizes_says_so() -> None:
    space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
    with pytest.raises(UsageError, match=r"stage kernel: space nasbench201 has no kernel that could shrink"):
        require_fit(space, METHODS["ofa"])
    sorts = replace(METHODS["darts"], stages=(Stage("a"), Stage("b", start="sorted")))
    with pytest.raises(UsageError, match=r"stage b: space nasbench201 has no expand that could shrink"):
        require_fit(space, sorts)
    mobile = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    require_fit(mobile, METHODS["ofa"])
    with pytest.raises(UsageError, match=r"no kernl that could shrink; .*did you mean 'kernel'"):
        options_within(mobile, (("kernl", 1),), "test")
