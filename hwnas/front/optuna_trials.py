"""Rows as Optuna trials: the one place that knows both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from targets.errors import UsageError

from .history import Row
from .objectives import Goals

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space

GENERATION = "NSGAIISampler:generation"
"""System attribute that makes a finished trial a parent; optuna 5.0 `samplers/_ga/_base.py` builds it
from the class name, so it also changes with a subclass. A trial without it never breeds."""


class Codec:
    """Architectures as parameters of a study: one categorical per choice, by the option's name."""

    def __init__(self, space: Space) -> None:
        names = [c.name for c in space.choices]
        if len(set(names)) != len(names):
            raise UsageError(f"space {space.name}: two choices share a name; Optuna needs distinct ones")
        self._space = space
        self.distributions: dict[str, BaseDistribution] = {
            c.name: CategoricalDistribution(c.options) for c in space.choices
        }

    def params(self, arch: Arch) -> dict[str, str]:
        """Option per choice of an architecture."""
        return {c.name: c.options[i] for c, i in zip(self._space.choices, arch, strict=True)}

    def arch(self, params: dict[str, Any]) -> Arch:
        """The architecture of a trial's parameters."""
        return tuple(c.options.index(params[c.name]) for c in self._space.choices)

    def trial(self, row: Row, generation: int) -> FrozenTrial:
        """A finished trial that belongs to `generation`, always with the constraints of its row."""
        return create_trial(
            state=TrialState.COMPLETE if row.judged else TrialState.FAIL,
            params=self.params(self._space.from_string(row.arch)),
            distributions=self.distributions,
            values=row.judged.values if row.judged else None,
            constraints=dict(row.judged.constraints) if row.judged else None,
            user_attrs={"arch": row.arch, "origin": row.origin, **row.metrics}
            | ({"failure": row.failure} if row.failure else {}),
            system_attrs={GENERATION: generation},
        )


def directions(goals: Goals) -> list[StudyDirection]:
    """Optuna's direction per objective."""
    return [StudyDirection.MAXIMIZE if o.maximise else StudyDirection.MINIMIZE for o in goals.objectives]


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its notes on standard error; warnings stay."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
