"""When and how a search is interrupted: at a share of a stage, or while a file is written."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

STARTING = "starting"
"""The stage before the first: the process starts, and a new run writes its options."""

KILL, WORKER = "KILL", "WORKER"
"""kill -9 of the search and all that it started, or of one training process, after which it goes on."""

HOW = (*[KILL] * 40, *["INT"] * 10, *["TERM"] * 10, *["HUP"] * 10, *[WORKER] * 6)
"""The series: how often each way of interrupting comes."""

EXITS = {KILL: -9, "INT": 130, "TERM": 143, "HUP": 129}

FILES = (
    "config.resolved.json", "study.db", "evaluated.json", "front.json", "splits.json", "checkpoints/",
    "stages/", "models/", "export/", "decisions.json",
)  # fmt: skip
"""Written in the course of a search: a folder stands for all in it."""

TRAINING = ("front", "training")
"""The stages with training processes."""

PER_RUN = 6
WHILE_WRITING = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When to interrupt, and how.

    how: KILL, WORKER or the name of a signal.
    stage: in which.
    share: of the time that the stage takes undisturbed.
    file: wait for a write of this one instead; '' for none.
    """

    how: str
    stage: str
    share: float
    file: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self)


def series(stages: Sequence[str], seed: int) -> list[list[Moment]]:
    """The moments of each run, in the order of its stages. Every way meets every part of a search."""
    rng = random.Random(f"faults/{seed}")
    ways = list(HOW)
    rng.shuffle(ways)
    runs = [ways[i : i + PER_RUN] for i in range(0, len(ways), PER_RUN)]
    return [_of_run(run, stages, rng) for run in runs]


def _of_run(ways: Sequence[str], stages: Sequence[str], rng: random.Random) -> list[Moment]:
    moments = [
        Moment(
            how=how,
            stage=rng.choice(TRAINING if how == WORKER else stages),
            share=rng.random(),
            file=rng.choice(FILES) if how != WORKER and rng.random() < WHILE_WRITING else "",
        )
        for how in ways
    ]
    order = {stage: i for i, stage in enumerate(stages)}
    return sorted(moments, key=lambda moment: (order[moment.stage], moment.share))
