"""The gradient stage of the main job in a cell space: wrapped edges, the history, and what stays of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas import supernets
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.counts import default_counts
from hwnas.pipeline.main_job.gradient import search_gradient
from hwnas.pipeline.main_job.run_context import RunContext
from hwnas.pipeline.main_job.splits import split_data
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from targets.errors import DamagedFileError
from targets.files import write_json

pytestmark = pytest.mark.slow


SPACE = """
space = "nasbench201"
operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
nodes = 4
[search]
cells = 1
channels = 8
[deployed]
cells = 1
channels = 8
"""


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    """A run whose stages before the search are done; every block costs 0.1 ms."""
    torch.set_num_threads(1)
    file = tmp_path / "small.toml"
    file.write_text(SPACE)
    config = SearchConfig(
        data="digits", image_size=16, space=str(file), method="pc-darts", home=str(tmp_path / "home"),
        alpha_history=True, batch_size=32,
    )  # fmt: skip
    run = create_search(tmp_path / "run", config, log=Log(quiet=True))
    context = RunContext(run)
    done = split_data(context)
    run.finish_stage("splits", done.result, done.files)
    space = load_space(str(file), image_size=16, in_channels=1, n_classes=10)
    keys = space.blocks()
    prices = {"blocks_ms": dict.fromkeys(keys, 0.1), "weights_mb": dict.fromkeys(keys, 0.0)}
    write_json(run.path / "table.json", {"intercept_ms": 0.0, "square_ms_per_mb2": 0.0, **prices})
    (run.path / "supernet.safetensors").write_bytes(safetensors_bytes(supernets.make(space)))
    budgets = {"budgets": ["latency_ms<=2"], "search_budgets": ["latency_ms<=2"]}
    counts = default_counts(config, 64, 1)
    run.finish_stage("plan", {**budgets, "counts": {**counts.to_json(), "search_steps": 4}})
    run.finish_stage("supernet", {"log": []})
    with run:
        yield context


def test_a_method_that_wraps_edges_searches_a_cell_space_and_leaves_its_history(context: RunContext) -> None:
    outcome = search_gradient(context)
    best = outcome.result["seeds"][0]
    assert best["latency_ms"] <= 2
    assert context.space.key(context.space.from_string(best["arch"])) == best["arch"]
    with np.load(context.path / "alphas.npz", allow_pickle=False) as alphas:
        assert alphas["cell.0-1"].shape == (4, 5)
    assert np.load(context.path / "alpha_cell_history.npy", allow_pickle=False).shape == (4, 6, 5)
    genotypes = sorted(p.name for p in (context.path / "genotypes").glob("*.txt"))
    assert genotypes == [f"epoch-000{n}.txt" for n in (1, 2, 3, 4)]
    context.run.finish_stage("gradient", outcome.result, outcome.files)
    assert json.loads((context.path / "stages" / "gradient.json").read_text())
    assert context.run.stage_done("gradient") is not None
    (context.path / "genotypes" / "epoch-0001.txt").write_text("another")
    with pytest.raises(DamagedFileError, match="epoch-0001"):
        context.run.stage_done("gradient")
