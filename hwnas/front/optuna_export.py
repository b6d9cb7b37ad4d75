"""`study.db`: the trials of a run as an Optuna study, for optuna-dashboard and other tools.

It is a copy that hwnas never reads back. A file that is behind, because the run was killed between
two writes, is completed. A file that is damaged or of another run is kept as `study.db.damaged` and
written anew from the trials, with a warning. An empty file counts as damaged: SQLite takes it for a
new database, in which Optuna then finds no study.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from targets.files import unfinished

from .history import Trial
from .objectives import Problem
from .optuna_study import OtherStudyError, StudyWriter
from .optuna_trials import quiet

if TYPE_CHECKING:
    from hwnas.core.space import Space

STUDY = "hwnas"
_TIMEOUT_S = 1.0  # a reader such as optuna-dashboard holds the lock for milliseconds


class OptunaExport:
    """Keeps the study in `path` equal to the trials.

    warn: gets one line when the file had to be written anew, or could not be written.
    now: the time as Optuna writes it, which is local. Trials began when those before them were written; where
        the file is written anew, the times of trials of before are not known any more.
    """

    def __init__(
        self,
        path: Path,
        space: Space,
        problem: Problem,
        warn: Callable[[str], None],
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._path, self._warn = path, warn
        self._writer = StudyWriter(STUDY, space, problem, now)

    def update(self, trials: Sequence[Trial]) -> None:
        """Append what the study lacks of `trials`.

        A file that cannot be written now (locked, disk full) costs a warning: the next call catches up.
        """
        with quiet():
            try:
                try:
                    self._check()
                    self._append(trials)
                except OtherStudyError as error:
                    self._set_aside()
                    self._warn(
                        f"{self._path} {error}; kept as {self._path.name}.damaged and written anew from the "
                        f"stored evaluations"
                    )
                    self._append(trials)
            except (SQLAlchemyError, OptunaError, OSError) as error:
                cause = error.__cause__ or error
                self._warn(
                    f"{self._path} could not be written ({getattr(cause, 'orig', cause)}); nothing is lost, "
                    f"the next generation completes it"
                )

    def _check(self) -> None:
        """OtherStudyError when the file is there and is no sound SQLite database."""
        if not self._path.exists():
            return
        if self._path.stat().st_size == 0:
            raise OtherStudyError("is empty")
        try:
            with closing(sqlite3.connect(self._path, timeout=_TIMEOUT_S)) as connection:
                verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.OperationalError:
            return  # locked or not readable now, which says nothing about its content
        except sqlite3.DatabaseError as error:
            raise OtherStudyError(f"is damaged ({error})") from error
        if verdict != "ok":
            raise OtherStudyError(f"is damaged ({verdict})")

    def _append(self, trials: Sequence[Trial]) -> None:
        if not self._path.exists():
            self._write_new(trials)
            return
        with _storage(self._path) as storage:
            self._writer.append(self._writer.load(storage), trials)

    def _write_new(self, trials: Sequence[Trial]) -> None:
        """The file comes whole or not at all: a kill on the way leaves no half of a study."""
        part = unfinished(self._path)
        part.unlink(missing_ok=True)
        with _storage(part) as storage:
            self._writer.append(self._writer.create(storage), trials)
        part.replace(self._path)

    def _set_aside(self) -> None:
        """Rename the file and drop its journals, which SQLite would replay into the new one."""
        self._path.replace(self._path.with_name(self._path.name + ".damaged"))
        for suffix in ("-journal", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _storage(path: Path) -> Iterator[RDBStorage]:
    """Optuna's storage in the SQLite file `path`, closed again."""
    try:
        storage = RDBStorage(f"sqlite:///{path}", {"connect_args": {"timeout": _TIMEOUT_S}})
    except RuntimeError as error:
        raise OtherStudyError("was written by another version of Optuna") from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
