"""The main job: from a data set, a target and a budget to a Pareto set of checked ONNX files.

One file per stage, in the order of `STAGES`; each leaves files in the run directory and a sealed
record, and is skipped when the record is there. `RunContext` holds what the stages share. What a stage is
made of (spaces, searches, tables, training) lives elsewhere; nothing here knows how those work.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from hwnas.pipeline.stages import Outcome, RunStage, run_stages
from hwnas.runs.run_dir import RunDir

from .baselines import choose_baselines
from .candidates import measure_candidates
from .continuation import TRAINING, take_over
from .evaluation import evaluate_models
from .front import search_front
from .gradient import search_gradient
from .plan import make_plan
from .publish import publish
from .repeats import repeat_chosen
from .replan import require_in_time
from .run_context import RunContext
from .shared_weights import train_shared_weights
from .shipping import ship_chosen
from .splits import split_data
from .table import make_table
from .tracking import hand_over
from .training import train_models

__all__ = ["DECIDED", "STAGES", "RunContext", "search"]

STAGES: tuple[RunStage[RunContext], ...] = (
    RunStage(name="splits", does="read and split the data", work=split_data),
    RunStage(name="table", does="measure the blocks of the space on the target", work=make_table),
    RunStage(name="plan", does="fix the budgets and the number of steps", work=make_plan),
    RunStage(name="supernet", does="train the shared weights", work=train_shared_weights),
    RunStage(name="gradient", does="gradient search under the budgets", work=search_gradient),
    RunStage(name="front", does="search the front", work=search_front),
    RunStage(name="candidates", does="measure the front on the target", work=measure_candidates),
    RunStage(name="baselines", does="choose what the picks are compared with", work=choose_baselines),
    RunStage(name=TRAINING, does="train picks and baselines from scratch", work=train_models),
    RunStage(name="evaluation", does="export, check and measure every trained network", work=evaluate_models),
    RunStage(name="repeats", does="train the chosen network on splits drawn anew", work=repeat_chosen),
    RunStage(name="report", does="write the front and the report", work=publish),
    RunStage(name="export", does="make the files of the chosen network for apps", work=ship_chosen),
)
"""In order. To add a stage, add a row."""

DECIDED = tuple(itertools.takewhile(lambda name: name != TRAINING, (stage.name for stage in STAGES)))
"""Stages whose outcome a continued search takes over."""


def search(run: RunDir) -> RunContext:
    """Do every stage of a search that is not done yet."""
    context = RunContext(run)
    require_in_time(context)
    take_over(context, DECIDED)
    torch.set_num_threads(context.n_threads)
    try:
        run_stages([_timed(stage) for stage in STAGES], context)
        hand_over(context)
    finally:
        context.close()
    return context


def _timed(stage: RunStage[RunContext]) -> RunStage[RunContext]:
    """The stage, with the seconds that it takes on the clock of the run."""

    def work(context: RunContext) -> Outcome:
        with context.clock.stage(stage.name):
            return stage.work(context)

    return replace(stage, work=work)
