"""What a verdict is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from .records import Records

Level = Literal["bad", "warn", "good"]
LEVELS: tuple[Level, ...] = ("bad", "warn", "good")
"""The worst first."""

MOST_NAMED = 3
"""Things that a sentence names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. code: its name for programs. advice: what to do; empty where nothing is needed."""

    level: Level
    code: str
    sentence: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """As front.json has it."""
        return asdict(self)


Check = Callable[[Records], Iterator[Finding]]
"""A question to a run; it is silent on what the run does not record."""
