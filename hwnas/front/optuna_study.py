"""A study of Optuna that is kept equal to the trials of a run, in whatever storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import optuna
from optuna.storages import RDBStorage

from .history import Trial
from .objectives import Problem
from .optuna_trials import Codec, directions

if TYPE_CHECKING:
    from hwnas.core.space import Space


class OtherStudyError(Exception):
    """It is no study that begins like the trials. The message goes after the name of the storage."""


class StudyWriter:
    """Writes trials of one search under `name` into storages of Optuna."""

    def __init__(self, name: str, space: Space, problem: Problem) -> None:
        self.name, self._problem, self._codec = name, problem, Codec(space)

    def create(self, storage: RDBStorage) -> optuna.Study:
        """A new study without trials."""
        study = optuna.create_study(
            storage=storage, study_name=self.name, directions=directions(self._problem), load_if_exists=False
        )
        study.set_user_attr("objectives", [o.metric for o in self._problem.objectives])
        return study

    def load(self, storage: RDBStorage) -> optuna.Study:
        """The study that is there; OtherStudyError where there is none or another."""
        try:
            study = optuna.load_study(study_name=self.name, storage=storage)
        except KeyError as error:
            raise OtherStudyError(f"holds no study {self.name!r}") from error
        # create_study(load_if_exists=True) would keep other directions without a word
        if study.directions != directions(self._problem):
            raise OtherStudyError("has other objectives")
        return study

    def append(self, study: optuna.Study, trials: Sequence[Trial]) -> None:
        """What the study lacks of `trials`; OtherStudyError where it holds others."""
        held = [t.user_attrs.get("arch") for t in study.get_trials(deepcopy=False)]
        if held != [t.arch for t in trials[: len(held)]]:
            raise OtherStudyError("holds other evaluations")
        study.add_trials([self._codec.trial(t, t.generation) for t in trials[len(held) :]])
