"""A study of Optuna that is kept equal to the trials of a run, in whatever storage."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from .generational import STORED
from .history import Trial
from .objectives import Problem
from .optuna_trials import Codec, directions

if TYPE_CHECKING:
    from hwnas.core.space import Space


class OtherStudyError(Exception):
    """It is no study that begins like the trials. The message goes after the name of the storage."""


class StudyWriter:
    """Writes trials of one search under `name` into storages of Optuna.

    now: the time as Optuna writes it, which is local. Trials began when those before them were written.
    """

    def __init__(
        self, name: str, space: Space, problem: Problem, now: Callable[[], datetime] = datetime.now
    ) -> None:
        self.name, self._problem, self._codec = name, problem, Codec(space)
        self._now, self._since = now, now()

    def create(self, storage: RDBStorage) -> optuna.Study:
        """A new study without trials."""
        study = optuna.create_study(
            storage=storage, study_name=self.name, directions=directions(self._problem), load_if_exists=False
        )
        names = [o.metric for o in self._problem.objectives]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(names)
        study.set_user_attr("objectives", names)
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
        study.add_trials(self._timed(trials[len(held) :]))

    def _timed(self, trials: Sequence[Trial]) -> list[FrozenTrial]:
        """As Optuna's, from the last call until now; what an earlier search evaluated took no time."""
        ended = self._now()
        timed = []
        for trial in trials:
            frozen = self._codec.trial(trial, trial.generation)
            frozen.datetime_start = ended if trial.origin == STORED else self._since
            frozen.datetime_complete = ended
            timed.append(frozen)
        self._since = ended
        return timed
