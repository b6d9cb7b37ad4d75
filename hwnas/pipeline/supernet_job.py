"""The training of shared weights as JSON values, by this process or by several that `torchrun` starts.

The processes leave what a training of one process leaves: the checkpoints of the stage. The last one has the
weights and the log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from hwnas.costs.cost_model import CostModel
from hwnas.data import Augment, Batches, Data
from hwnas.data.batches import check_shares
from hwnas.distributed.processes import run_processes
from hwnas.distributed.rank_process import take_part
from hwnas.distributed.ranks import ALONE, Ranks
from hwnas.gradient.loop import LogRow
from hwnas.gradient.step.optim import under
from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.runs.checkpoints import Checkpoints
from hwnas.runs.run_dir import RunDir
from hwnas.spaces import load_space
from hwnas.training.training_job import data_of
from targets.files import read_json

from .stages import SAVE_EVERY, run_loop


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetJob:
    """A training of shared weights.

    space: what `load_space` reads.
    data: the images, as a `TrainingJob` names them.
    batch_size: images of a step, of all processes together.
    batch_seed: of their order and changes. seed: of the weights and the paths.
    steps: of the optimiser.
    device: where it computes, as torch spells it; of `cuda` each of several processes takes a card.
    processes: that do it together; with another number its sums, and so its weights, differ.
    """

    space: Mapping[str, Any]
    data: Mapping[str, Any]
    batch_size: int
    batch_seed: int
    steps: int
    seed: int
    device: str = "cpu"
    processes: int = 1

    def warmup(self, data: Data, ranks: Ranks = ALONE) -> Warmup:
        """The training, not begun. data: the images of the job. ranks: the processes that do it together."""
        device = self.device if ranks.world == 1 else str(ranks.device)
        space = load_space(**self.space)
        costs = CostModel(space)
        train = Batches(
            data, "train", self.batch_size, self.batch_seed, Augment.for_data(data), device, share=ranks.share
        )
        return Warmup(
            space=space,
            supernet=make_supernet(space, self.seed),
            train=train,
            settings=WarmupSettings(steps=self.steps, epoch_steps=train.steps_per_epoch, seed=self.seed),
            macs=lambda archs: costs.of(archs)["macs"],
            task=data.task,
            device=device,
            ranks=ranks,
        )


def train_supernet(
    job: SupernetJob, data: Data, run: RunDir, stage: str
) -> tuple[dict[str, Tensor], list[LogRow]]:
    """The trained weights and the log of a job, which goes on from the checkpoints of the stage.

    UsageError for a batch that the processes of the job cannot share equally.

    data: the images of the job.
    """
    if job.processes == 1:
        warmup = job.warmup(data)
        run_loop(run, stage, warmup)
        return warmup.supernet.state_dict(), warmup.log
    check_shares(min(job.batch_size, len(data.split("train"))), job.processes)
    checkpoint = run.load_checkpoint(stage)  # here: each of the processes would set a damaged one aside
    if checkpoint is None or checkpoint[0] < job.steps:
        _run_together(job, run, stage, 0 if checkpoint is None else checkpoint[0])
        checkpoint = run.load_checkpoint(stage)
    assert checkpoint is not None  # the first process saves after its last step
    _, tensors, state = checkpoint
    return under("supernet.", tensors), state["log"]


def _run_together(job: SupernetJob, run: RunDir, stage: str, first: int) -> None:
    """From step `first`, which the checkpoint is of, to a checkpoint after the last."""
    if first:
        run.log(f"going on at step {first} of {job.steps}")
    shown = 0
    with run.progress(stage, job.steps) as bar:

        def on_step(done: int, total: int) -> None:
            nonlocal shown
            bar.advance(done - shown)
            shown = done

        on_step(first, job.steps)
        run_processes(
            job.processes,
            "hwnas.pipeline.supernet_job",
            run.path / f"{stage}-job.json",
            asdict(job),
            str(run.path),
            stage,
            str(SAVE_EVERY),
            name=f"the stage {stage}",
            on_step=on_step,
            log=run.log.warn,
        )


def main() -> int:
    """One of the processes. Its arguments are the job, the run, the stage, and steps between checkpoints."""
    job_file, path, stage, save_every = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    job = SupernetJob(**read_json(job_file, "training of shared weights"))

    def work(ranks: Ranks, on_step: Callable[[int, int], None], log: Callable[[str], None]) -> None:
        warmup = job.warmup(data_of(job.data), ranks)
        checkpoints = Checkpoints(path / "checkpoints", log)
        if (checkpoint := checkpoints.load(stage)) is not None:
            _, tensors, state = checkpoint
            warmup.load(tensors, state)
        warmup.run(
            on_step=lambda step: on_step(step, job.steps),
            save=partial(checkpoints.save, stage) if ranks.is_first else None,
            save_every=save_every,
        )

    return take_part(job.device, job.processes, work)


if __name__ == "__main__":
    sys.exit(main())
