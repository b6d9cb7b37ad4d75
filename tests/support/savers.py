"""Where a tested training keeps its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Memory:
    """A saver that can stop the training after its n-th state, as a kill would."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.states: list[tuple[int, dict[str, Tensor], dict[str, Any]]] = []
        self.stop_after = stop_after

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.states.append((step, {k: v.clone() for k, v in tensors.items()}, dict(state)))
        if len(self.states) == self.stop_after:
            raise KeyboardInterrupt

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        return self.states[-1] if self.states else None
