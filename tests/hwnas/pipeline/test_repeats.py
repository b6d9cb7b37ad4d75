"""The figures of trainings on splits drawn anew are of the score that the search goes by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hwnas.data import eval_batches
from hwnas.pipeline.main_job.repeats import figures_of
from hwnas.tasks import task_named
from hwnas.training.train import scores
from hwnas.training.training_job import data_of


@pytest.mark.parametrize(("task", "place"), [("classification", 0), ("classification@top5", 2)])
def test_figures_are_of_the_score_of_the_search(task: str, place: int, tmp_path: Path) -> None:
    spec = {"spec": "digits", "image_size": 16, "seed": 0, "root": str(tmp_path)}
    data = data_of(spec)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(data.in_channels * 16 * 16, data.n_classes))
    # The score and the loss of a network come first, then its other scores in the order of `scores`.
    wanted = scores(network, eval_batches(data, "test", 64), task_named("classification"))[place]
    context: Any = SimpleNamespace(data=SimpleNamespace(task=task_named(task)))
    trained: Any = SimpleNamespace(module=lambda: network)
    result = figures_of(context, "id", [(spec, trained), (spec, trained)])
    assert result["scores"] == [wanted, wanted] and result["mean"] == pytest.approx(wanted)
