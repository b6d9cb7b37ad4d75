"""When and how a search is interrupted: at a share of a stage, or while a file is written."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

STARTING = "starting"
"""The stage before the first: the process starts, and a new run writes its options."""

KILL, WORKER = "KILL", "WORKER"
"""kill -9 of the search and all that it started, or of one training process, after which it goes on."""

HOW = (*[KILL] * 40, *["INT"] * 10, *["TERM"] * 10, *["HUP"] * 10, *[WORKER] * 6)
"""The series: how often each way of interrupting comes."""

EXITS = {KILL: -9, "INT": 130, "TERM": 143, "HUP": 129}

WRITES: Mapping[str, tuple[str, ...]] = {
    STARTING: ("config.resolved.json",),
    "splits": ("splits.json", "stages/"),
    "table": ("table.json", "stages/"),
    "plan": ("stages/",),
    "supernet": ("checkpoints/", "supernet.safetensors", "stages/"),
    "gradient": ("checkpoints/", "genotypes/", "alphas.npz", "stages/"),
    "front": ("evaluations/", "evaluated.json", "study.db", "decisions.json", "stages/"),
    "candidates": ("stages/",),
    "baselines": ("stages/",),
    "training": ("evaluations/", "training/", "stages/"),
    "evaluation": ("models/", "stages/"),
    "report": ("front.json", "front.csv", "mistakes.json", "report.html", "stages/"),
    "export": ("export/", "stages/"),
}
"""What each stage writes: a folder stands for all in it."""

TRAINING = ("front", "training")
"""The stages with training processes."""

_EARLY = 0.3
"""Of a stage: later its training processes may be gone, for a stage is faster in one run than in another."""

PER_RUN = 8
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
    """The moments of each run, in the order of its stages. Signals and kills meet all stages as often."""
    rng = random.Random(f"faults/{seed}")
    ways = list(HOW)
    rng.shuffle(ways)
    places = list(itertools.islice(itertools.cycle(stages), len(ways) - ways.count(WORKER)))
    rng.shuffle(places)
    moments = [_moment(how, rng.choice(TRAINING) if how == WORKER else places.pop(), rng) for how in ways]
    order = {stage: i for i, stage in enumerate(stages)}
    return [
        sorted(moments[i : i + PER_RUN], key=lambda moment: (order[moment.stage], moment.share))
        for i in range(0, len(moments), PER_RUN)
    ]


def _moment(how: str, stage: str, rng: random.Random) -> Moment:
    while_writing = how != WORKER and rng.random() < WHILE_WRITING
    return Moment(
        how=how,
        stage=stage,
        share=rng.random() * (_EARLY if how == WORKER else 1.0),
        file=rng.choice(WRITES.get(stage, ("stages/",))) if while_writing else "",
    )
