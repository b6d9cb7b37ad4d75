"""The main job: from a data set, a target and a budget to a Pareto set of checked ONNX files.

One file per stage, in the order of `STAGES`; each leaves files in the run directory and a
record with a checksum, and is skipped when the record is there. `Work` holds what the stages share. What a
stage is made of (spaces, searches, tables, training) lives elsewhere; nothing here knows how those work.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from hwnas.runs.run_dir import RunDir

from .baselines import choose_baselines
from .candidates import measure_candidates
from .evaluation import evaluate_models
from .front import search_front
from .gradient import search_gradient
from .plan import make_plan
from .publish import publish
from .shared_weights import train_shared_weights
from .splits import split_data
from .table import make_table
from .training import train_models
from .work import Outcome, Work

__all__ = ["STAGES", "Work", "search"]

STAGES: tuple[tuple[str, str, Callable[[Work], Outcome]], ...] = (
    ("splits", "read and split the data", split_data),
    ("table", "measure the blocks of the space on the target", make_table),
    ("plan", "fix the budgets and the number of steps", make_plan),
    ("supernet", "train the shared weights", train_shared_weights),
    ("gradient", "gradient search under the budgets", search_gradient),
    ("front", "NSGA-II front", search_front),
    ("candidates", "measure the front on the target", measure_candidates),
    ("baselines", "choose what the picks are compared with", choose_baselines),
    ("training", "train picks and baselines from scratch", train_models),
    ("evaluation", "export, check and measure every trained network", evaluate_models),
    ("report", "write the front and the report", publish),
)
"""Name, what it does, and the function, in order. To add a stage, add a row."""


def search(run: RunDir) -> Work:
    """Do every stage that is not done yet; a resumed run goes on in the middle of one."""
    work = Work(run)
    torch.set_num_threads(work.n_threads)
    for number, (name, does, stage) in enumerate(STAGES, 1):
        if work.done(name):
            continue
        run.log(f"{number}/{len(STAGES)} {does}")
        outcome = stage(work)
        run.finish_stage(name, outcome.result, outcome.files)
        run.delete_checkpoints(name)
    return work
