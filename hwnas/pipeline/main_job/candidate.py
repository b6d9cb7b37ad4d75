"""The networks on their way to front.csv: measured with fresh weights, then trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.runs.front_file import FrontPoint

from .devices import Measured, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network that was measured with fresh weights: of the front, or a baseline.

    origin: front, gradient, random, mobilenet_v3 or published.
    predicted: costs by the tables.
    measured: per metric of a device the fields of a `lut.Measurement` (`devices.measure`).
    arch: an architecture of the space; None for MobileNetV3.
    width: of MobileNetV3; None for an architecture of the space.
    val_accuracy_search: as the evaluator of the front observed it; None where it is not known.
    val_accuracy_expected: as the surrogate of the front believes it; None for a search without one.
    inside: whether it is measured inside the budgets; None for baselines, which all are.
    pick: as what it was picked (`hwnas.front.Pick`); None where it was not.
    reason: why, as a sentence.
    """

    origin: str
    predicted: Mapping[str, float]
    measured: Measured
    arch: str | None = None
    width: float | None = None
    val_accuracy_search: float | None = None
    val_accuracy_expected: float | None = None
    inside: bool | None = None
    pick: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What is known of it, as the record of a stage has it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Candidate:
        """The inverse of `to_json`."""
        return cls(**entry)

    def point(
        self,
        arch_id: str,
        *,
        measured: Mapping[str, Any] | None = None,
        feasible: bool = True,
        failure: str | None = None,
    ) -> FrontPoint:
        """Its point of the final table.

        measured: of the trained network; None for the latency with fresh weights.
        """
        accuracies = {"val_accuracy_search": self.val_accuracy_search}
        if self.val_accuracy_expected is not None:
            accuracies["val_accuracy_expected"] = self.val_accuracy_expected
        return FrontPoint(
            arch_id=arch_id,
            arch=arch_id if self.arch is None else self.arch,
            origin=self.origin,
            pick=self.pick,
            predicted={**self.predicted, **accuracies},
            measured=columns_of(self.measured) if measured is None else measured,
            feasible=feasible,
            failure=failure,
            reason=self.reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A candidate that is trained from scratch. network: for `build_network`."""

    arch_id: str
    network: Mapping[str, Any]
    candidate: Candidate
