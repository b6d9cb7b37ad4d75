"""front.json and front.csv: the networks of a finished search, and the one home of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hwnas.tasks import CLASSIFICATION, inward, task_named
from targets.errors import DamagedFileError
from targets.files import read_json

FRONT_JSON, FRONT_CSV = "front.json", "front.csv"
BASELINES = ("random", "mobilenet_v3", "published")
"""Origins of networks that the search has not found, but trains and measures beside its own."""
MISTAKES_JSON = "mistakes.json"
"""What the chosen network gets wrong on the test images."""
BEST = "best"
"""The name that the chosen network has besides its own in the folder of the models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """One network: found by the search, or a baseline beside it.

    arch_id: its name in the run; a trained network lies in `models/<arch_id>/`.
    arch: the architecture, as every command reads it.
    origin: front, gradient, random, mobilenet_v3 or published.
    pick: as what it was chosen to be trained (fastest, knee, accurate, gradient, ...); None where it was not.
    predicted: costs by the tables, accuracy by the shared weights.
    measured: latency on the target; accuracies and size of the file where it was trained.
    feasible: whether it is inside the budgets.
    failure: why it was not trained or exported; None where nothing failed.
    reason: why it was picked, as a sentence; None for others and in runs of before.
    """

    arch_id: str
    arch: str
    origin: str
    pick: str | None
    predicted: Mapping[str, Any]
    measured: Mapping[str, Any] | None
    feasible: bool
    failure: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """An entry of `points` in front.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> FrontPoint:
        """The inverse of `to_json`."""
        return cls(**{known.name: entry[known.name] for known in fields(cls) if known.name in entry})

    def row(self) -> dict[str, Any]:
        """A row of front.csv: the network, then predicted_*, then measured_*, each by name."""
        return {
            "arch_id": self.arch_id,
            "origin": self.origin,
            "pick": self.pick,
            "feasible": self.feasible,
            **{f"predicted_{name}": value for name, value in sorted(self.predicted.items())},
            **{f"measured_{name}": value for name, value in sorted((self.measured or {}).items())},
            "arch": self.arch,
            "reason": self.reason,
            "failure": self.failure,
        }

    @property
    def is_trained(self) -> bool:
        """Whether it was trained, exported and tested."""
        measured = (self.measured or {}).items()
        return any(name.startswith("test_") and value is not None for name, value in measured)


def latency_columns(measurement: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `lut.Measurement` as a point's `measured` calls them."""
    return {
        "latency_p50_ms": measurement["p50_ms"],
        "latency_ci_low_ms": measurement["ci_low_ms"],
        "latency_ci_high_ms": measurement["ci_high_ms"],
        "clock": measurement["clock"],
        "flag": measurement["flag"],
        "flag_reason": measurement.get("reason", ""),
    }


def read_front(run_path: Path) -> dict[str, Any]:
    """front.json of a finished run in `inside_names`; DamagedFileError when it is missing, torn or edited."""
    from .shapes import FrontShape, require_shape  # here: it loads pydantic

    path, what = run_path / FRONT_JSON, "the front of the run"
    raw = read_json(path, what)
    if not isinstance(raw, Mapping) or not isinstance(raw.get("task"), str | None):
        raise DamagedFileError(f"{what}: {path} is no front of a task; restore it, or search again")
    document: dict[str, Any] = inside_names(raw)
    require_shape(document, FrontShape, path, what)
    return document


def inside_names(front: Any) -> Any:
    """front.json with the names that this program works with, whatever its task calls the objective."""
    task = task_named(front.get("task")) if isinstance(front, Mapping) else CLASSIFICATION
    return inward(front, task)


def front_points(front: Mapping[str, Any]) -> list[FrontPoint]:
    """The points of front.json."""
    return [FrontPoint.from_json(entry) for entry in front["points"]]
