"""A long loop under a progress bar, with checkpoints that a resume goes on from to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from hwnas.gradient.loop import LogRow, Loop, Save
from hwnas.pipeline.main_job.run_context import RunContext
from targets.files import write_atomic

from .search_history import stats_csv

SAVE_EVERY = 100
"""Steps between checkpoints: some seconds of work, and well under 1 % of the time to write."""


class Resumable(Protocol):
    """`search.GradientSearch` and `warmup.Warmup`: long, and resumable at any step."""

    @property
    def loop(self) -> Loop:
        """Counts the steps."""
        ...

    def run(
        self,
        *,
        until: int | None = None,
        on_step: Callable[[int], None] | None = None,
        save: Save | None = None,
        save_every: int = SAVE_EVERY,
    ) -> None:
        """Go on to the end."""
        ...

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        ...


def write_stats(context: RunContext, rows: Sequence[LogRow]) -> None:
    """train_stats.csv: the log of all loops so far, one row per epoch."""
    write_atomic(context.path / "train_stats.csv", stats_csv(rows))


def run(
    context: RunContext,
    stage: str,
    job: Resumable,
    total: int,
    on_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Run `job` to its end, from the newest checkpoint if there is one; on_step hears of every step."""
    found = context.run.load_checkpoint(stage)
    if found is not None:
        _, tensors, state = found
        job.load(tensors, state)
        context.run.log(f"going on at step {job.loop.step} of {total}")
    with context.run.progress(stage, total) as bar:
        bar.advance(job.loop.step)

        def after(step: int) -> None:
            on_step(step)
            bar.advance(1)

        job.run(
            on_step=after,
            save=lambda step, tensors, state: context.run.save_checkpoint(stage, step, tensors, state),
            save_every=SAVE_EVERY,
        )
