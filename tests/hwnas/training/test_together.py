"""One training by two processes: the steps of one with the whole batch, and the same bits on resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import hwnas
import hwnas.data
from hwnas.training.build import build_network
from hwnas.training.initial_weights import initialise
from hwnas.training.together import train_together
from hwnas.training.training_job import Trained, TrainingJob, read_result, run_job
from targets.errors import HwnasError, UsageError
from tests.support.ranks import rank_pids

pytestmark = pytest.mark.slow
ROOT = Path(hwnas.__file__).parents[1]
SHARE = 30
"""Images of a process in a batch: so few that norms take their statistics from both."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    torch.set_num_threads(1)
    root = str(tmp_path_factory.mktemp("home"))
    space = {"name": "mobile", "image_size": 16, "in_channels": 1, "n_classes": 10, "width_mult": 0.25}
    return TrainingJob(
        job_id="both",
        network={"space": space, "arch": "8:mb3e3/8:mb3e3/8:mb3e3/16:mb3e3/24:mb3e3"},
        data={"spec": "digits", "image_size": 16, "seed": 0, "limit": 400, "root": root},
        recipe={"epochs": 2, "batch_size": 2 * SHARE, "lr": 0.002, "clip": 5.0, "ema": 0.9},
        seed=1,
        processes=2,
    )


@pytest.fixture(scope="module")
def together(job: TrainingJob, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_together(job, tmp_path_factory.mktemp("together"))


ONE_STEP = """
import copy, sys
import torch
from torch import distributed
from torch.nn.functional import cross_entropy
from hwnas.training.build import build_network
from hwnas.distributed.ranks import Ranks
from hwnas.distributed.synced_norm import synced_norms
from hwnas.training.initial_weights import initialise
import json

torch.set_num_threads(1)
distributed.init_process_group("gloo")
ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
net = build_network(json.loads(sys.argv[1])).double().train()
initialise(net, 1)
whole = copy.deepcopy(net)
generator = torch.Generator().manual_seed(0)
x = torch.randn(60, 1, 16, 16, dtype=torch.float64, generator=generator)
y = torch.randint(0, 10, (60,), generator=generator)
loss = cross_entropy(whole(x), y)
loss.backward()
with synced_norms(ranks, 30):
    own = cross_entropy(net(x[ranks.rank :: 2]), y[ranks.rank :: 2])
    own.backward()
assert all(type(part) is type(other) for part, other in zip(net.modules(), whole.modules()))
ranks.average_gradients(list(net.parameters()))
assert abs(ranks.mean(own.detach()) - loss.detach()) < 1e-13
for a, b in zip(net.parameters(), whole.parameters()):
    assert torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-13)
for a, b in zip(net.buffers(), whole.buffers()):
    assert torch.allclose(a.double(), b.double(), rtol=1e-12, atol=1e-14)
    a += ranks.rank  # as norms whose statistics are of their own process would have it
assert ranks.sums(1.0, float(ranks.rank)) == (2.0, 1.0)
assert ranks.of_first(lambda: (3.0, 4.0) if ranks.is_first else 1 / 0) == (3.0, 4.0)
ranks.average_statistics(net)
for a, b in zip(net.buffers(), whole.buffers()):
    assert not a.is_floating_point() or torch.allclose(a, b + 0.5)
net.zero_grad(set_to_none=True)
used = next(net.parameters())
used.grad = torch.full_like(used, 2.0) if ranks.is_first else None  # a path that one process dropped
ranks.average_gradients(list(net.parameters()))
assert (used.grad == 1).all() and all(p.grad is None for p in list(net.parameters())[1:])
distributed.destroy_process_group()
"""


def test_gradients_losses_and_statistics_are_those_of_the_whole_batch(
    job: TrainingJob, tmp_path: Path
) -> None:
    (tmp_path / "one_step.py").write_text(ONE_STEP)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "one_step.py"), json.dumps(job.network)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


class _Summed:
    """Batches made of the shares of two processes, as each of them draws and changes its own."""

    def __init__(self, *positional: Any, share: tuple[int, int], **named: Any) -> None:
        assert share == (0, 1)
        self._shares = [hwnas.data.batches.Batches(*positional, share=(i, 2), **named) for i in range(2)]
        self.batch_size, self.steps_per_epoch = self._shares[0].batch_size, self._shares[0].steps_per_epoch

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        (x, y), (x2, y2) = (share.at(step) for share in self._shares)
        assert len(y) == len(y2) == SHARE
        return torch.cat([x, x2]), torch.cat([y, y2])


def test_two_processes_make_the_steps_of_one_with_the_whole_batch(
    job: TrainingJob, together: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hwnas.data, "Batches", _Summed)
    alone = run_job(TrainingJob(**{**vars_of(job), "processes": 1}), tmp_path)
    # That a step is the same is shown above; sums in another order are other last bits, which steps enlarge.
    for mine, theirs in zip(together.epochs, alone.epochs, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert mine.train_accuracy == pytest.approx(theirs.train_accuracy, abs=0.02)
    module = build_network(job.network)
    initialise(module, job.seed)
    before, one, two = (flat(state) for state in (module.state_dict(), alone.weights(), together.weights()))
    assert torch.linalg.vector_norm(two - one) < 0.2 * torch.linalg.vector_norm(one - before)


def flat(state: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([state[name].double().reshape(-1) for name in sorted(state)])


def vars_of(job: TrainingJob) -> dict[str, Any]:
    return {name: getattr(job, name) for name in TrainingJob.__slots__}


def test_a_cut_off_training_goes_on_to_the_same_bits(
    job: TrainingJob, together: Trained, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_together(job, tmp_path, on_step=stop, save_every_s=0.0)
    if read_result(job, tmp_path) is None:  # a step is told now and then, so that the end may come first
        assert list(job.folder(tmp_path).glob("checkpoints/*.safetensors"))
    resumed = train_together(job, tmp_path, save_every_s=0.0)
    theirs = together.weights()
    assert resumed.val_loss == together.val_loss
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in resumed.weights().items())


def test_what_a_process_refuses_is_raised_here_and_a_killed_one_ends_all(
    job: TrainingJob, tmp_path: Path
) -> None:
    odd = TrainingJob(**{**vars_of(job), "recipe": {**job.recipe, "batch_size": 61}})
    with pytest.raises(UsageError, match="a batch of 61 images cannot be shared equally by 2 processes"):
        train_together(odd, tmp_path)
    long = TrainingJob(**{**vars_of(job), "recipe": {**job.recipe, "epochs": 500}})
    pids: list[int] = []

    def kill(done: int, total: int) -> None:
        if not pids:
            pids.extend(rank_pids(tmp_path))
            os.kill(pids[-1], signal.SIGKILL)

    with pytest.raises(HwnasError, match="the processes of both ended with code 1"):
        train_together(long, tmp_path, on_step=kill)
    assert len(pids) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in pids)
