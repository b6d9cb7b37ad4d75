"""The trials of a run in a PostgreSQL server too, so that a team can follow them in optuna-dashboard.

The run directory stays what counts: the server is written to and never read for a decision. While it is away
the search goes on, and whatever the study lacks is added when it is back, each trial in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from targets.errors import ConnectionLostError, UsageError

from .history import Trial
from .optuna_study import OtherStudyError, StudyWriter
from .optuna_trials import quiet

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL

_LOCK = 0x68776E6173  # "hwnas": of those who make the tables, which Optuna lets only one do
_CONNECT_S = 5
PATIENCE_S = 120.0
"""How long the end of a search waits for a server that is away."""


def storage_url(text: str) -> URL:
    """The URL of a PostgreSQL database as SQLAlchemy reads it; UsageError for another one."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    wanted = "allowed: postgresql://[USER@]HOST[:PORT]/DATABASE"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError(f"--storage is no URL of a database; {wanted}") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise UsageError(f"--storage is a URL of {url.drivername!r}; {wanted}")
    if url.password is not None or "password" in url.query:
        raise UsageError(
            "--storage has a password in it, which the run directory would keep; leave it out and give it by "
            "PGPASSWORD or ~/.pgpass, which PostgreSQL's own library reads"
        )
    return url.set(drivername="postgresql+psycopg")


def require_server(text: str) -> None:
    """ConnectionLostError where the server of `--storage` does not answer; UsageError without its library."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    url = storage_url(text)
    try:
        engine = create_engine(url, connect_args={"connect_timeout": _CONNECT_S})
    except ImportError:
        raise UsageError("--storage needs psycopg: pip install 'hwnas[postgresql]'") from None
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        raise ConnectionLostError(
            f"--storage {text}: {_cause(error)}; see that the server runs and lets you in, or "
            "leave --storage away"
        ) from None
    finally:
        engine.dispose()


class SharedRecord:
    """Keeps a study in a PostgreSQL database equal to the trials. warn: gets a line when it cannot."""

    def __init__(self, url: str, writer: StudyWriter, warn: Callable[[str], None]) -> None:
        self._text, self._url, self._writer, self._warn = url, storage_url(url), writer, warn
        self._away = False

    def update(self, trials: Sequence[Trial]) -> bool:
        """Append what the study lacks; whether that went well. A server that is away costs one warning."""
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with quiet(), self._storage() as storage:
                try:
                    study = self._writer.load(storage)
                except OtherStudyError:
                    study = self._writer.create(storage)
                self._writer.append(study, trials)
        except OtherStudyError as error:
            self._say(f"study {self._writer.name!r} {error}; it is left as it is")
        except (SQLAlchemyError, OptunaError) as error:
            self._say(f"{_cause(error)}; the search goes on, and the study is completed when it is back")
        else:
            if self._away:
                self._warn(f"{self._text} is back; the study has all {len(trials)} evaluations")
            self._away = False
        return not self._away

    def finish(
        self,
        trials: Sequence[Trial],
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """The same at the end of a search, which waits for a server that is away."""
        wait_s, waited_s = 1.0, 0.0
        while not self.update(trials):
            if waited_s >= patience_s:
                self._warn(
                    f"{self._text} stayed away for {waited_s:.0f} s: study {self._writer.name!r} there lacks "
                    "evaluations; nothing is lost, evaluated.json has all"
                )
                return
            sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, 15.0)

    def _say(self, text: str) -> None:
        if not self._away:
            self._warn(f"{self._text}: {text}")
        self._away = True

    @contextmanager
    def _storage(self) -> Iterator[RDBStorage]:
        """Optuna's storage, its tables made by one process at a time, closed again."""
        from optuna.storages import RDBStorage
        from sqlalchemy import create_engine, text

        options: dict[str, Any] = {"connect_timeout": _CONNECT_S}
        engine = create_engine(self._url, connect_args=options)
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
                storage = RDBStorage(self._url.render_as_string(), {"connect_args": options})
        finally:
            engine.dispose()
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _cause(error: BaseException) -> str:
    """The first line of what the server, or the library that talks to it, said."""
    said = error.__cause__ or error
    lines = str(getattr(said, "orig", None) or getattr(said, "__cause__", None) or said).strip().splitlines()
    return lines[0] if lines else type(error).__name__
