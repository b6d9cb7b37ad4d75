"""From architectures to metrics: every evaluator is an `Evaluator`, and none decides anything.

Here: the protocol, and an evaluator per file (`shared_weights`: accuracy with the weights of a
supernet). Not here: which architectures are evaluated (a strategy of `hwnas/front`), and what the
metrics are worth (`hwnas.front.Problem`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

__all__ = ["EvaluationFailed", "Evaluator", "Metrics"]

Metrics = Mapping[str, float]
"""What is known of one architecture: accuracies in 0..1, costs in the unit of their name."""


@dataclass(frozen=True, slots=True)
class EvaluationFailed:
    """An evaluator's answer for an architecture that it could not evaluate, with the reason."""

    reason: str


class Evaluator(Protocol):
    """Gives the metrics of architectures. `hwnas.front.run` takes any evaluator."""

    def __call__(self, archs: Sequence[Arch]) -> Sequence[Metrics | EvaluationFailed]:
        """One answer per architecture, in order.

        The same architecture gets the same answer, whatever its dead parts say. An architecture that
        cannot be evaluated gets `EvaluationFailed`; it is never left out.
        """
        ...
