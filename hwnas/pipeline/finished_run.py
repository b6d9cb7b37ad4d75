"""A finished search as later commands read it: its space, its networks, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.core.network_space import NetworkSpace
from hwnas.evaluators.store import stored_metrics
from hwnas.runs.front_file import FrontPoint, front_points, read_front
from hwnas.runs.identity import SEARCH, read_identity
from hwnas.runs.shapes import SplitsShape, require_shape
from hwnas.spaces import load_space
from hwnas.tasks import Task, task_named
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json

from .scores import score_name

RUN, STORE = "run", "store"
"""Where an evaluation is known from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNetwork:
    """An architecture that was evaluated, once, for whatever device.

    arch: the key of the space. arch_id: its name in runs.
    val_accuracy: as the evaluator of the search saw it.
    source: `RUN`, or `STORE` where another search evaluated it in the same way.
    trained: the point of the run where it was trained to the end, exported and tested; else None.
    """

    arch: str
    arch_id: str
    val_accuracy: float
    source: str
    trained: FrontPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What a finished search left.

    front: front.json. splits: splits.json. points: of the front, baselines among them.
    """

    path: Path
    front: Mapping[str, Any]
    splits: Mapping[str, Any]
    space: NetworkSpace
    points: Sequence[FrontPoint]
    options: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> FinishedRun:
        """The search in `path`; UsageError where it is none or not done, DamagedFileError for a torn one."""
        identity = read_identity(path)
        if identity.kind != SEARCH:
            raise UsageError(f"{path} holds a {identity.kind}; give the folder of a `hwnas search`")
        if not (path / "front.json").exists():
            raise UsageError(f"{path} is not finished; `hwnas search --resume {path}` goes on with it")
        front = read_front(path)
        try:
            space = load_space(**front["space"])
        except (KeyError, TypeError) as error:
            raise DamagedFileError(
                f"{path / 'front.json'}: space lacks {error}: it is of an older version or was changed; "
                "restore it, or search again"
            ) from None
        splits = read_json(path / "splits.json", "the splits of the run")
        require_shape(splits, SplitsShape, path / "splits.json", "the splits of the run")
        return cls(
            path=path,
            front=front,
            splits=splits,
            space=space,
            points=front_points(front),
            options=identity.values,
        )

    @property
    def task(self) -> Task:
        """What its networks learned."""
        return task_named(self.front.get("task"))

    @property
    def n_validation(self) -> int:
        """Images that an accuracy is counted on."""
        return len(self.splits["val"])

    def networks(self, home: Path) -> list[KnownNetwork]:
        """Every architecture of the space with a known accuracy: of the run, then of stored evaluations.

        With data that grew these are the networks that were trained on all of them.
        """
        trained = {p.arch: p for p in self.points if p.is_trained and p.origin != "mobilenet_v3"}
        known: dict[str, tuple[float, str]] = {}
        if "growth" in self.front:  # what the search evaluated is of the earlier images
            known = {
                key: (point.measured["val_accuracy"], RUN) for key, point in trained.items() if point.measured
            }
            return self._named(known, trained)
        for row in self.front["evaluated"]:
            if row.get("val_accuracy_search") is not None:
                known[row["arch"]] = (row["val_accuracy_search"], RUN)
        for key, point in trained.items():
            accuracy = point.predicted.get("val_accuracy_search")
            if accuracy is not None:
                known.setdefault(key, (accuracy, RUN))
        if self.front.get("store"):
            asked = f"val_{score_name(self.task)}"
            for key, metrics in stored_metrics(home, self.front["store"]).items():
                if asked in metrics:
                    known.setdefault(key, (metrics[asked], STORE))
        return self._named(known, trained)

    def _named(
        self, known: Mapping[str, tuple[float, str]], trained: Mapping[str, FrontPoint]
    ) -> list[KnownNetwork]:
        return [
            KnownNetwork(
                arch=key,
                arch_id=self.space.arch_id(self.space.from_string(key)),
                val_accuracy=accuracy,
                source=source,
                trained=trained.get(key),
            )
            for key, (accuracy, source) in known.items()
        ]
