"""`--federated`: what is refused, and who does the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.core.samples import IMAGE
from hwnas.core.words import counted
from hwnas.data import Data
from hwnas.executors import Executor, LocalExecutor
from hwnas.executors.cluster_file import Cluster, find_cluster
from hwnas.executors.clusters import open_cluster
from hwnas.federated.calls import Parts
from hwnas.federated.parts import Federation, read_federation
from hwnas.federated.rounds import FederatedTraining
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.tasks import CLASSIFICATION
from hwnas.training.presets import REGULARISED, changed
from hwnas.training.recipe import Recipe
from hwnas.training.training_job import Trained, TrainingJob
from targets.errors import UsageError
from targets.files import user_path

from .training_options import TrainingOptions


@dataclass(frozen=True)
class FederatedOptions:
    """The parts, and the cluster whose workers hold them; None where they are of this machine."""

    federation: Federation
    cluster: Cluster | None

    @property
    def pinned(self) -> bool:
        """Whether each part has a worker of its own."""
        return self.cluster is not None and self.cluster.kind != "local"

    def parts(
        self, data: Data, seed: int, root: Path, executor: Executor, log: Callable[[str], None]
    ) -> Parts:
        """As `executor` reaches them. The rest: as of `Parts`."""
        return Parts(
            federation=self.federation,
            data=data,
            seed=seed,
            root=str(root),
            executor=executor,
            pinned=self.pinned,
            log=log,
        )

    def checked(self, options: TrainingOptions, recipe: Recipe, data: Data) -> dict[str, Any]:
        """The `federated` of a job; UsageError for what parts do not learn by."""
        _refuse(recipe, options.teacher, {"--gpus": options.gpus is not None}, options.device)
        if data.task.name != CLASSIFICATION.name:
            raise UsageError(f"--federated learns classes, and {data.name} has the task {data.task.name}")
        return self.federation.identity()


def federated_options(options: TrainingOptions | SearchConfig) -> FederatedOptions | None:
    """What the options say of parts; None where the data are whole."""
    if options.federated is None:
        return None
    cluster = None if options.cluster is None else find_cluster(options.cluster)
    return FederatedOptions(read_federation(user_path(options.federated)), cluster)


def require_federated(config: SearchConfig) -> None:
    """UsageError for a search that parts cannot do."""
    if federated_options(config) is None:
        return
    if config.evaluator != "shared-weights":
        raise UsageError(
            "--federated trains shared weights on the parts, and architectures are scored by them; give "
            "--evaluator shared-weights"
        )
    if config.task != CLASSIFICATION.name:
        raise UsageError(f"--federated learns classes, and --task is {config.task}")
    if config.minutes is not None:
        raise UsageError(
            "--minutes promises a time, and how fast the parts of --federated are nobody here knows; give "
            "--supernet-steps, --evaluations, --picks and --train-epochs"
        )
    others = {
        "--search-steps": bool(config.search_steps),
        "--repeats": bool(config.repeats),
        "--continue-from": config.continue_from is not None,
        "--gpus": config.gpus is not None,
    }
    if asked := [option for option, is_asked in others.items() if is_asked]:
        raise UsageError(
            f"{', '.join(asked)}: it trains on the images of --data alone, and with --federated the parts "
            "train; leave it out"
        )
    preset = replace(Recipe.for_data(1), **REGULARISED[config.recipe].adds(CLASSIFICATION, IMAGE))
    _refuse(changed(preset, config), config.teacher, {}, config.device)


def _refuse(recipe: Recipe, teacher: str | None, others: Mapping[str, bool], device: str) -> None:
    refused = {
        "--ema": recipe.ema > 0,
        "--patience": recipe.patience > 0,
        "--teacher": teacher is not None,
        **others,
        f"--device {device}": device.startswith("cuda"),
    }
    if asked := [option for option, is_asked in refused.items() if is_asked]:
        raise UsageError(
            f"{', '.join(asked)}: in federated averaging each part trains for itself on its CPU, and the "
            "weights of all are averaged; leave it out (--recipe strong has --ema)"
        )


def parts_in_words(federation: Federation, data: Data) -> str:
    """Said before they learn. data: of whoever leads."""
    return (
        f"{counted(len(federation.parts), 'part')} learn together, and {federation.min_parts} of them make a "
        f"round; the training images of {data.name} here are not learned from unless they are a part"
    )


def train_on_parts(
    options: FederatedOptions,
    job: TrainingJob,
    data: Data,
    run: RunDir,
    on_round: Callable[[int, int], None],
) -> Trained:
    """The rounds of the job. data: of whoever leads."""
    run.log(parts_in_words(options.federation, data))
    with _executor(options, run.log) as executor:
        parts = options.parts(data, job.seed, Path(job.data["root"]), executor, run.log.warn)
        return FederatedTraining(job, parts, run.path).run(on_round)


@contextmanager
def _executor(options: FederatedOptions, log: Log) -> Iterator[Executor]:
    if options.cluster is None:
        with LocalExecutor(os.cpu_count() or 1, log.warn) as executor:
            yield executor
        return
    with open_cluster(options.cluster, log.warn) as executor:
        yield executor
