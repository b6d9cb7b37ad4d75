"""The timetable of a search."""

from __future__ import annotations

from hwnas.gradient.stage import Stage
from hwnas.gradient.timetable import Timetable


def test_a_timetable_shares_the_steps_freezes_and_begins_a_cosine_per_stretch() -> None:
    stages = (Stage("a", share=1.0, frozen=0.5), Stage("b"), Stage("c", share=2.0, start="fresh"))
    table = Timetable(stages, 40, 1)
    assert table.bounds == [0, 10, 20, 40]
    assert [table.due(s) for s in (0, 4, 5, 10)] == [False, False, True, True]
    assert [table.stretch(i) for i in range(3)] == [(0, 20), (0, 20), (20, 20)]
    assert table.arch_steps(0) == 15
    assert [table.progress(s) for s in (0, 39)] == [0.0, 1.0]
