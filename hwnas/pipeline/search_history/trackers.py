"""Other tools that may follow a search: TensorBoard and MLflow, where they are installed.

A tracker is a row in `TRACKERS`. It gets the numbers of every epoch; what it cannot show stays in the files.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hwnas.core.registry import Registry
from targets.errors import UsageError


class Tracker(Protocol):
    """What follows a search."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """The numbers after an epoch, counted from 1."""

    def close(self) -> None:
        """No more will come."""


@dataclass(frozen=True, slots=True)
class Kind:
    """module: what must be installed, by `pip install hwnas[<name>]`. open: of (folder, name, facts)."""

    module: str
    open: Callable[[Path, str, Mapping[str, Any]], Tracker]


TRACKERS: Registry[Kind] = Registry("tracker")


class _TensorBoard:
    """Event files in `tensorboard/` of the run: `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, name: str, facts: Mapping[str, Any]) -> None:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
        self._writer = tensorboard.SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("search", "\n".join(f"- {k}: {v}" for k, v in facts.items()))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, number)

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """A run in the store that MLFLOW_TRACKING_URI names, else in `mlflow.db` of the run.

    MLflow's folders of text files are in maintenance and refuse new runs, hence SQLite.
    """

    def __init__(self, folder: Path, name: str, facts: Mapping[str, Any]) -> None:
        mlflow = importlib.import_module("mlflow")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name("hwnas")
        experiment = found.experiment_id if found else self._client.create_experiment("hwnas")
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        for key, value in facts.items():
            self._client.log_param(self._run, key, value)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._client.log_metric(self._run, key, value, step=number)

    def close(self) -> None:
        self._client.set_terminated(self._run)


TRACKERS.add("tensorboard")(Kind("tensorboard", _TensorBoard))
TRACKERS.add("mlflow")(Kind("mlflow", _MLflow))


def check_trackers(names: Iterable[str]) -> None:
    """UsageError for a tracker that there is not, or that is not installed here."""
    for name in names:
        kind = TRACKERS[name]
        if importlib.util.find_spec(kind.module) is None:
            raise UsageError(
                f"tracker {name!r} needs {kind.module}, which is not installed; "
                f"`pip install 'hwnas[{name}]'`, or leave it away: train_stats.csv has the same numbers"
            )


def open_trackers(names: Iterable[str], folder: Path, name: str, facts: Mapping[str, Any]) -> list[Tracker]:
    """The trackers of these names, each once."""
    wanted = tuple(dict.fromkeys(names))
    check_trackers(wanted)
    return [TRACKERS[w].open(folder, name, facts) for w in wanted]
