"""`hwnas train --federated`: what is refused, and who does the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hwnas.data import Data
from hwnas.executors import Executor, LocalExecutor
from hwnas.executors.cluster_file import Cluster, find_cluster
from hwnas.executors.clusters import open_cluster
from hwnas.federated.parts import Federation, read_federation
from hwnas.federated.rounds import FederatedTraining
from hwnas.runs.run_dir import RunDir
from hwnas.tasks import CLASSIFICATION
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

    def checked(self, options: TrainingOptions, recipe: Recipe, data: Data) -> dict[str, Any]:
        """The `federated` of a job; UsageError for what parts do not learn by."""
        refused = {
            "--ema": recipe.ema > 0,
            "--patience": recipe.patience > 0,
            "--teacher": options.teacher is not None,
            "--gpus": options.gpus is not None,
            "--device cuda": options.device != "cpu",
        }
        if asked := [option for option, is_asked in refused.items() if is_asked]:
            raise UsageError(
                f"{', '.join(asked)}: in federated averaging each part trains for itself on its CPU, and the "
                "weights of all are averaged; leave it out (--recipe strong has --ema)"
            )
        if data.task.name != CLASSIFICATION.name:
            raise UsageError(f"--federated learns classes, and {data.name} has the task {data.task.name}")
        return self.federation.identity()


def federated_options(options: TrainingOptions) -> FederatedOptions | None:
    """What the options say of parts; None where the data are whole."""
    if options.federated is None:
        return None
    cluster = None if options.cluster is None else find_cluster(options.cluster)
    return FederatedOptions(read_federation(user_path(options.federated)), cluster)


def train_on_parts(
    options: FederatedOptions,
    job: TrainingJob,
    data: Data,
    run: RunDir,
    on_round: Callable[[int, int], None],
) -> Trained:
    """The rounds of the job. data: of whoever leads."""
    federation = options.federation
    run.log(
        f"{len(federation.parts)} parts learn together, and {federation.min_parts} of them make a round; the "
        f"training images of {data.name} here are not learned from unless they are a part"
    )
    with _executor(options, run) as executor:
        pinned = options.cluster is not None and options.cluster.kind != "local"
        training = FederatedTraining(
            job, federation, data, executor, run.path, pinned=pinned, log=run.log.warn
        )
        return training.run(on_round)


@contextmanager
def _executor(options: FederatedOptions, run: RunDir) -> Iterator[Executor]:
    if options.cluster is None:
        with LocalExecutor(os.cpu_count() or 1, run.log.warn) as executor:
            yield executor
        return
    with open_cluster(options.cluster, run.log.warn) as executor:
        yield executor
