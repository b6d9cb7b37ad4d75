"""How every run works: a list of stages, and in a stage at most one long loop with checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from hwnas.gradient.loop import Loop, Save
from hwnas.runs.run_dir import RunDir
from hwnas.runs.under_way import StageName

SAVE_EVERY = 100
"""Steps between checkpoints: some seconds of work, and well under 1 % of the time to write."""


class StagedRun(Protocol):
    """What the stages of a run share."""

    @property
    def run(self) -> RunDir:
        """The run, locked."""
        ...


C = TypeVar("C", bound=StagedRun)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage answers (JSON) and the files that it left, relative to the run."""

    result: dict[str, Any]
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStage(Generic[C]):
    """One part of a run.

    name: of its record. does: what the log says. work: the function. keeps_checkpoints: whether the state
    after its last step stays.
    """

    name: str
    does: str
    work: Callable[[C], Outcome]
    keeps_checkpoints: bool = False


def run_stages(stages: Sequence[RunStage[C]], context: C) -> None:
    """Do every stage that is not done yet; a resumed run goes on in the middle of one."""
    run = context.run
    names = [StageName(name=stage.name, does=stage.does) for stage in stages]
    for number, stage in enumerate(stages, 1):
        if run.stage_done(stage.name) is not None:
            continue
        run.log(f"{number}/{len(stages)} {stage.does}")
        run.begin_stage(names, stage.name)
        outcome = stage.work(context)
        run.finish_stage(stage.name, outcome.result, outcome.files)
        if not stage.keeps_checkpoints:
            run.delete_checkpoints(stage.name)
    run.begin_stage(names, None)


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


def run_loop(
    run: RunDir,
    stage: str,
    job: Resumable,
    on_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Run `job` to its end, from the newest checkpoint if there is one; on_step hears of every step."""
    total = job.loop.steps
    checkpoint = run.load_checkpoint(stage)
    if checkpoint is not None:
        _, tensors, state = checkpoint
        job.load(tensors, state)
        run.log(f"going on at step {job.loop.step} of {total}")
    with run.progress(stage, total) as bar:
        bar.advance(job.loop.step)

        def after(step: int) -> None:
            on_step(step)
            bar.advance(1)

        job.run(
            on_step=after,
            save=lambda step, tensors, state: run.save_checkpoint(stage, step, tensors, state),
            save_every=SAVE_EVERY,
        )
