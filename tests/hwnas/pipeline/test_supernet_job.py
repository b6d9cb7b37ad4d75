"""Shared weights trained by two processes: the steps of one with the whole batch, the same bits on resume."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import hwnas
from hwnas.pipeline import supernet_job
from hwnas.pipeline.counts import default_counts
from hwnas.pipeline.main_job import shared_weights
from hwnas.pipeline.main_job.run_context import RunContext
from hwnas.pipeline.main_job.splits import split_data
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from targets.errors import HwnasError, UsageError
from tests.support.ranks import rank_pids
from tests.support.spaces import TINY_STAGES

pytestmark = pytest.mark.slow
ROOT = Path(hwnas.__file__).parents[1]

CELLS = """
space = "darts"
operations = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"]
nodes = 2
[search]
cells = 3
channels = 4
[deployed]
cells = 3
channels = 4
"""

STEPS = """
import sys
import torch
from torch import distributed
from hwnas.costs.cost_model import CostModel
from hwnas.distributed.ranks import ALONE, Ranks
from hwnas.gradient.warmup import SAMPLERS, Warmup, WarmupSettings, make_supernet
from hwnas.spaces import load_space

torch.set_num_threads(1)
distributed.init_process_group("gloo")
both = Ranks(distributed.get_rank(), distributed.get_world_size())


class Halves:
    def __init__(self, place, n):
        self.place, self.n = place, n

    def at(self, step):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(24, 3, 16, 16, dtype=torch.float64, generator=generator)
        y = torch.randint(0, 4, (24,), generator=generator)
        return x[self.place :: self.n], y[self.place :: self.n]


def trained(space, paths, ranks):
    costs, net = CostModel(space), make_supernet(space, 1).double()
    settings = WarmupSettings(steps=2, epoch_steps=1, seed=1, paths=paths)
    macs = lambda archs: costs.of(archs)["macs"]
    warmup = Warmup(space, net, Halves(*ranks.share), settings, macs=macs, ranks=ranks)
    warmup.run()
    return warmup


for file in sys.argv[1:]:
    space = load_space(file, image_size=16, in_channels=3, n_classes=4)
    for paths in SAMPLERS:
        alone, shared = trained(space, paths, ALONE), trained(space, paths, both)
        for row, other in zip(shared.log, alone.log, strict=True):
            assert abs(row["train_loss"] - other["train_loss"]) < 1e-9
            assert abs(row["train_accuracy"] - other["train_accuracy"]) < 1e-6  # a mean in single precision
        mine, theirs = shared.state()[0], alone.state()[0]
        assert mine.keys() == theirs.keys()  # momentum of what ran, and of nothing else
        for name, tensor in mine.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-7, atol=1e-10)
        start = make_supernet(space, 1).double().state_dict()
        assert any((mine["supernet." + name] - tensor).abs().max() > 1e-2 for name, tensor in start.items())
distributed.destroy_process_group()
"""


def test_two_processes_make_the_steps_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    """In double precision: in single the other last bits of other sums grow over the passes of a sandwich."""
    for name, text in (("steps.py", STEPS), ("mobile.toml", TINY_STAGES), ("cells.toml", CELLS)):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, *(str(tmp_path / name) for name in ("steps.py", "mobile.toml", "cells.toml"))],
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def context_at(path: Path, home: Path, *, batch_size: int = 64) -> Iterator[RunContext]:
    """A search whose stages before the shared weights are done."""
    (home / "tiny.toml").write_text(TINY_STAGES)
    config = SearchConfig(
        data="digits", image_size=16, space=str(home / "tiny.toml"), home=str(home), device="cpu",
        gpus=2, batch_size=batch_size,
    )  # fmt: skip
    run = create_search(path, config, log=Log(quiet=True))
    context = RunContext(run)
    done = split_data(context)
    run.finish_stage("splits", done.result, done.files)
    counts = {**default_counts(config, 64, 1).to_json(), "supernet_steps": 40}
    run.finish_stage("plan", {"budgets": [], "search_budgets": [], "counts": counts})
    with run:
        yield context


@pytest.fixture(autouse=True)
def cores_for_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes on CPUs, which the command refuses: two of them on cores win nothing."""
    monkeypatch.setattr(shared_weights, "require_cards", lambda device, gpus: None)
    monkeypatch.setattr(supernet_job, "SAVE_EVERY", 8)
    torch.set_num_threads(1)


def test_killed_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    with (
        context_at(tmp_path / "whole", tmp_path) as whole,
        context_at(tmp_path / "killed", tmp_path) as killed,
    ):
        shared_weights.train_shared_weights(whole)
        threading.Thread(target=kill_after_a_checkpoint, args=(killed.path,), daemon=True).start()
        with pytest.raises(HwnasError, match="the processes of the stage supernet ended with code 1"):
            shared_weights.train_shared_weights(killed)
        assert rank_pids(killed.path) == [] and not (killed.path / "supernet.safetensors").exists()
        shared_weights.train_shared_weights(killed)
        assert killed.supernet.state_dict().keys() == whole.supernet.state_dict().keys()
    weights, same = (load_file(run.path / "supernet.safetensors") for run in (whole, killed))
    assert weights.keys() == same.keys() and all(torch.equal(weights[k], same[k]) for k in weights)
    rows, others = stats(whole.path), stats(killed.path)
    assert rows == others and rows[-1]["step"] == "40"
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def kill_after_a_checkpoint(run: Path) -> None:
    """`kill -9` of one process as soon as there is a state to go on from."""
    end_s = time.monotonic() + 120
    while not list(run.glob("checkpoints/supernet-*.json")) and time.monotonic() < end_s:
        time.sleep(0.01)
    os.kill(rank_pids(run)[-1], signal.SIGKILL)


def stats(run: Path) -> list[dict[str, str]]:
    """The rows of train_stats.csv, but for the seconds."""
    with (run / "train_stats.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_starts(tmp_path: Path) -> None:
    refused = pytest.raises(UsageError, match="a batch of 33 images cannot be shared equally by 2 processes")
    with context_at(tmp_path / "run", tmp_path, batch_size=33) as context, refused:
        shared_weights.train_shared_weights(context)
    assert not list(context.path.glob("*-job.json"))
