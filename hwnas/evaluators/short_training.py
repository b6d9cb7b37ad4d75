"""The evaluator by short trainings: accuracy of a few epochs of real training, and the costs.

Several networks are trained at a time, each in a process of one thread, here or on a cluster; the answer does
not depend on where. What was trained once is stored for good (`store`) and never trained again; the weights
stay in the folder of the run, so that the final training goes on from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.executors import Executor, OnProgress
from hwnas.training.workers import Trained, TrainingFailed, TrainingJob, run_many

from . import EvaluationFailed, Metrics
from .store import EvaluationStore, StoredEvaluation

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.costs.cost_model import CostModel


@dataclass
class ShortTraining:
    """`val_accuracy` and `val_loss` after a short training, and every metric of the costs.

    All scores of the task are stored; `val_accuracy` of an answer is the one that is asked.

    costs: of the architectures, which are of its space.
    job: the training of an architecture, with a name of its own.
    folder: of the jobs, of which those that are done are read.
    executor: trains them.
    store: what was trained before; None to train everything.
    on_progress: hears of each training.
    log: gets warnings.
    before: the evaluator whose weights these trainings go on from, where they are not the first.
    score: which of the scores of the task is asked, `accuracy` for its own.
    """

    costs: CostModel
    job: Callable[[Arch], TrainingJob]
    folder: Path
    executor: Executor
    store: EvaluationStore | None = None
    on_progress: OnProgress = lambda progress: None
    log: Callable[[str], None] = lambda text: None
    before: ShortTraining | None = None
    score: str = "accuracy"
    _known: dict[str, Mapping[str, float] | EvaluationFailed] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Begin with what is stored."""
        if self.store is not None:
            asked = f"val_{self.score}"  # which an evaluation of an older version may lack
            known = self.store.known.items()
            self._known.update({key: row.metrics for key, row in known if asked in row.metrics})

    def knows(self, arch: Arch) -> bool:
        """Whether the answer for an architecture costs nothing."""
        return self.costs.space.key(arch) in self._known

    def __call__(self, archs: Sequence[Arch]) -> list[Metrics | EvaluationFailed]:
        """Metrics per architecture, in order. Each network is trained once, failed ones too."""
        space = self.costs.space
        keys = [space.key(arch) for arch in archs]
        new = {key: space.canonical(a) for key, a in zip(keys, archs, strict=True) if key not in self._known}
        self._train(new)
        costs = self.costs.of([space.canonical(arch) for arch in archs]) if archs else {}
        answers: list[Metrics | EvaluationFailed] = []
        for i, key in enumerate(keys):
            known = self._known[key]
            if not isinstance(known, EvaluationFailed):
                scores = {"val_accuracy": known[f"val_{self.score}"], "val_loss": known["val_loss"]}
                known = scores | {metric: float(values[i]) for metric, values in costs.items()}
            answers.append(known)
        return answers

    def _train(self, archs: Mapping[str, Arch]) -> None:
        """Fill `_known` for these; the largest first, so that no process waits long for the last one."""
        space = self.costs.space
        blind = {key for key, arch in archs.items() if not space.reads_image(arch)}
        self._known |= dict.fromkeys(blind, EvaluationFailed("the image does not reach the classifier"))
        keys = [key for key in archs if key not in blind]
        if not keys:
            return
        macs = self.costs.of([archs[key] for key in keys])["macs"]
        keys = [keys[i] for i in sorted(range(len(keys)), key=lambda i: -macs[i])]
        if self.before is not None:  # what is stored has no weights here
            self.before._train({key: archs[key] for key in keys})
            failed = {k: a for k in keys if isinstance(a := self.before._known[k], EvaluationFailed)}
            self._known |= failed
            keys = [key for key in keys if key not in failed]
        jobs = {key: self.job(archs[key]) for key in keys}
        key_of = {job.job_id: key for key, job in jobs.items()}

        def on_done(outcome: Trained | TrainingFailed) -> None:
            self._learn(key_of[outcome.job.job_id], outcome)

        outcomes = run_many(
            list(jobs.values()),
            self.folder,
            self.executor,
            on_progress=self.on_progress,
            on_done=on_done,
            log=self.log,
        )
        for key, outcome in zip(keys, outcomes, strict=True):
            self._learn(key, outcome)  # also those that an earlier call left in the folder

    def _learn(self, key: str, outcome: Trained | TrainingFailed) -> None:
        """Store at once: a kill may come before the others are done."""
        if isinstance(outcome, TrainingFailed):
            self._known[key] = EvaluationFailed(outcome.reason)
            return
        metrics = {
            "val_accuracy": outcome.val_accuracy,
            "val_loss": outcome.val_loss,
            **{f"val_{name}": value for name, value in outcome.val_scores.items()},
        }
        self._known[key] = metrics
        if self.store is not None:
            date = datetime.now(UTC).isoformat(timespec="seconds")
            self.store.add(StoredEvaluation(arch=key, metrics=metrics, cpu_s=outcome.cpu_s, date=date))
