"""Trials of a run as trials of Optuna: the one place that knows both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from targets.errors import UsageError

from .history import Trial
from .objectives import Problem

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

    def trial(self, trial: Trial, generation: int, outside: float | None = None) -> FrozenTrial:
        """A finished trial that belongs to `generation`, always with the constraints of its trial.

        outside: of the preferred part of the front (`Problem.outside`), one constraint more; or None.
        """
        return create_trial(
            state=TrialState.COMPLETE if trial.values else TrialState.FAIL,
            params=self.params(self._space.from_string(trial.arch)),
            distributions=self.distributions,
            values=trial.values.objectives if trial.values else None,
            constraints={**trial.values.constraints, **({} if outside is None else {"prefer": outside})}
            if trial.values
            else None,
            user_attrs={"arch": trial.arch, "origin": trial.origin, **trial.metrics}
            | ({"failure": trial.failure} if trial.failure else {}),
            system_attrs={GENERATION: generation},
        )


def directions(problem: Problem) -> list[StudyDirection]:
    """Optuna's direction per objective."""
    return [StudyDirection.MAXIMIZE if o.maximise else StudyDirection.MINIMIZE for o in problem.objectives]


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its notes on standard error; warnings stay."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
