"""Other tools that may follow a search: TensorBoard and MLflow, where they are installed.

A tracker is a row in `TRACKERS`. It gets numbers per step, the options and figures of a whole search, and its
files; what it cannot show stays in the files.
"""

from __future__ import annotations

import csv
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

    def result(self, options: Mapping[str, str], figures: Mapping[str, float]) -> None:
        """What was searched with, and what came out."""

    def artefact(self, file: Path, folder: str) -> None:
        """A file worth keeping. folder: where it lies in the run."""

    def close(self) -> None:
        """No more will come."""


@dataclass(frozen=True, slots=True)
class Kind:
    """module: what must be installed, by `pip install hwnas[<name>]`. open: of (folder, name, facts)."""

    module: str
    open: Callable[[Path, str, Mapping[str, Any]], Tracker]


_PLACE, _LONGEST = "hwnas.run", 500
"""Tag of a run in MLflow, so that one that goes on is found again; characters of a parameter."""

TRACKERS: Registry[Kind] = Registry("tracker")


class _TensorBoard:
    """Event files in `tensorboard/` of the run: `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, name: str, facts: Mapping[str, Any]) -> None:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
        self._writer = tensorboard.SummaryWriter(str(folder / "tensorboard"))
        if facts:
            self._writer.add_text("search", "\n".join(f"- {k}: {v}" for k, v in facts.items()))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, number)

    def result(self, options: Mapping[str, str], figures: Mapping[str, float]) -> None:
        self._writer.add_hparams(dict(options), dict(figures), run_name="options")

    def artefact(self, file: Path, folder: str) -> None:
        """TensorBoard keeps no files: a table is shown, of others the place."""
        text = _as_markdown(file) if file.suffix == ".csv" else f"`{file}`"
        self._writer.add_text(f"files/{file.name}", text)

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
        experiment = self._experiment(
            None if "MLFLOW_TRACKING_URI" in os.environ else folder / "mlflow-files"
        )
        where = str(folder.resolve())
        same = self._client.search_runs([experiment], f"tags.`{_PLACE}` = '{where}'", max_results=1)
        run = same[0] if same else self._client.create_run(experiment, run_name=name, tags={_PLACE: where})
        self._run = run.info.run_id
        for key, value in facts.items():
            self._client.log_param(self._run, key, value)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._client.log_metric(self._run, key, value, step=number)

    def result(self, options: Mapping[str, str], figures: Mapping[str, float]) -> None:
        for key, text in options.items():
            self._client.log_param(self._run, f"option.{key}", text[:_LONGEST])
        for key, figure in figures.items():
            self._client.log_metric(self._run, key, figure)

    def artefact(self, file: Path, folder: str) -> None:
        self._client.log_artifact(self._run, str(file), folder if folder != "." else None)

    def close(self) -> None:
        self._client.set_terminated(self._run)

    def _experiment(self, files: Path | None) -> str:
        """Its id. files: where artefacts go in a store of our own; MLflow's default is the current folder."""
        found = self._client.get_experiment_by_name("hwnas")
        if found:
            return str(found.experiment_id)
        place = None if files is None else files.resolve().as_uri()
        return str(self._client.create_experiment("hwnas", artifact_location=place))


def _as_markdown(file: Path) -> str:
    """A table that TensorBoard shows."""
    with file.open(encoding="utf-8", newline="") as lines:
        heading, *rows = list(csv.reader(lines))
    return "\n".join("|".join(row) for row in [heading, ["---"] * len(heading), *rows])


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
