"""The timetable of a search: the stage of each step, its progress, and whether the policy learns."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from .stage import Stage

ENOUGH = 200
"""Arch steps that a search tries to make. Published intervals (every 5th step) are for 600,000 steps from
untrained weights; a search of a few hundred steps from trained weights makes an arch step at each."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a step.

    index: number of its stage.
    stage: the stage.
    progress: 0 at the first step of the stage, 1 at its last.
    """

    index: int
    stage: Stage
    progress: float


class Timetable:
    """The stages of a method over the steps of a search."""

    def __init__(self, stages: Sequence[Stage], steps: int, arch_every: int | None) -> None:
        """arch_every: weight steps per arch step; None takes the stage's, or less to make ENOUGH of them."""
        self.stages, self.steps, self._every = tuple(stages), steps, arch_every
        *_, total = ends = list(itertools.accumulate(s.share for s in stages))
        self.bounds = [0, *(round(steps * end / total) for end in ends)]

    def at(self, step: int) -> Slot:
        """The place of a step."""
        i = min(bisect.bisect_right(self.bounds, step), len(self.stages)) - 1
        first, end = self.bounds[i : i + 2]
        return Slot(i, self.stages[i], (step - first) / max(1, end - first - 1))

    def progress(self, step: int) -> float:
        """The progress of the whole search: 0 at its first step, 1 at its last."""
        return step / max(1, self.steps - 1)

    def stretch(self, index: int) -> tuple[int, int]:
        """(first step, number of steps) of the stages that share their weights with a stage: one cosine."""
        first = next(i for i in range(index, -1, -1) if i == 0 or self.stages[i].start != "same")
        after = (i for i in range(index + 1, len(self.stages)) if self.stages[i].start != "same")
        end = next(after, len(self.stages))
        return self.bounds[first], self.bounds[end] - self.bounds[first]

    def every(self, stage: Stage) -> int | None:
        """Weight steps per arch step in a stage; None while the policy is frozen throughout."""
        if stage.arch_every is None:
            return None
        return self._every or max(1, min(stage.arch_every, self.steps // ENOUGH))

    def due(self, step: int) -> bool:
        """Whether the policy learns at this step."""
        slot = self.at(step)
        every = self.every(slot.stage)
        return every is not None and slot.progress >= slot.stage.frozen and (step + 1) % every == 0

    def arch_steps(self, index: int) -> int:
        """Arch steps in the stages that share their weights with a stage."""
        first, n = self.stretch(index)
        return sum(self.due(step) for step in range(first, first + n))
