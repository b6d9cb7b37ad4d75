"""The shared record in a real PostgreSQL: equal to the trials whatever the server does; no password kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from sqlalchemy import create_engine, text

from hwnas.core.budget import Budget
from hwnas.front import Problem, Trial, make_strategy, run
from hwnas.front.optuna_study import StudyWriter
from hwnas.front.shared_record import SharedRecord, require_server, storage_url
from targets.errors import ConnectionLostError, UsageError
from tests.support.postgresql import PASSWORD, PROGRAMS, PostgreSQL, running
from tests.support.strategies import DepthEvaluator, DepthSpace

SPACE = DepthSpace()
PROBLEM = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 14.0)])
needs_server = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    # Not the folder of pytest, which another user cannot enter.
    with tempfile.TemporaryDirectory(prefix="hwnas-pg-") as folder, running(Path(folder)) as server:
        yield server


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    strategy = make_strategy("nsga2", SPACE, PROBLEM, population=4, seed=0)
    run(strategy, DepthEvaluator(SPACE, {}), 3)
    return strategy.history.trials


def _record(server: PostgreSQL, name: str, warn: Callable[[str], None]) -> SharedRecord:
    return SharedRecord(server.url, StudyWriter(name, SPACE, PROBLEM), warn)


def _stored(server: PostgreSQL, name: str) -> list[str]:
    """The architectures of a study, as any other program reads them."""
    storage = optuna.storages.RDBStorage(storage_url(server.url).render_as_string())
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
        return [trial.user_attrs["arch"] for trial in study.trials]
    finally:
        storage.remove_session()
        storage.engine.dispose()


@needs_server
@pytest.mark.slow
def test_searches_that_begin_at_once_make_the_tables_once(
    server: PostgreSQL, trials: list[Trial], password: None
) -> None:
    said: list[str] = []
    names = [f"at-once-{i}" for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda name: _record(server, name, said.append).update(trials[:2]), names))
    assert done == [True] * 4 and said == []
    assert all(_stored(server, name) == [t.arch for t in trials[:2]] for name in names)


@needs_server
@pytest.mark.slow
def test_a_server_that_stops_and_starts_gets_all_trials_once(
    server: PostgreSQL, trials: list[Trial], password: None
) -> None:
    said: list[str] = []
    record = _record(server, "stops", said.append)
    assert record.update(trials[:3])
    server.stop()
    assert not record.update(trials[:5]) and not record.update(trials[:6])
    assert len(said) == 1 and "the search goes on" in said[0] and str(server.port) in said[0]
    waits: list[float] = []

    def comes_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            server.start()

    record.finish(trials, sleep=comes_back)
    assert waits == [1.0, 2.0] and "is back" in said[1] and len(said) == 2
    assert _stored(server, "stops") == [t.arch for t in trials]
    record.finish(trials)  # nothing twice
    assert _stored(server, "stops") == [t.arch for t in trials]

    server.stop()
    waits.clear()
    try:
        record.finish(trials, patience_s=20, sleep=waits.append)
        assert waits == [1.0, 2.0, 4.0, 8.0, 15.0] and "evaluated.json has all" in said[-1]
    finally:
        server.start()
    assert PASSWORD not in "".join(said)


_END_WHO_WAITS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@needs_server
@pytest.mark.slow
def test_a_server_that_is_cut_off_in_the_middle_of_a_write(
    server: PostgreSQL, trials: list[Trial], password: None
) -> None:
    said: list[str] = []
    record = _record(server, "cut", said.append)
    record.update(trials[:1])
    engine = create_engine(storage_url(server.url))
    watching = engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as admin, watching.connect() as watcher:
        # A lock that the record waits for, until its connection is ended by the server.
        admin.execute(text("LOCK TABLE trials IN ACCESS EXCLUSIVE MODE"))
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(record.update, trials[:4])
            ended, until = 0, time.monotonic() + 30
            try:
                while not ended and time.monotonic() < until:
                    ended = len(watcher.execute(text(_END_WHO_WAITS)).all())
                    time.sleep(0.05)
            finally:
                admin.rollback()
            assert ended
            writing.result()
    engine.dispose()
    record.finish(trials[:4])
    assert _stored(server, "cut") == [t.arch for t in trials[:4]]


@needs_server
@pytest.mark.slow
def test_a_study_of_another_search_is_left_as_it_is(
    server: PostgreSQL, trials: list[Trial], password: None
) -> None:
    said: list[str] = []
    assert _record(server, "mine", said.append).update(trials[:3])
    assert not _record(server, "mine", said.append).update(trials[1:])
    assert "holds other evaluations; it is left as it is" in said[0]
    assert _stored(server, "mine") == [t.arch for t in trials[:3]]


@needs_server
@pytest.mark.slow
def test_who_may_not_enter_is_told_before_the_search(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    require_server(server.url)
    monkeypatch.setenv("PGPASSWORD", "wrong-s3cret")
    with pytest.raises(ConnectionLostError, match="password authentication failed") as refused:
        require_server(server.url)
    assert "wrong-s3cret" not in str(refused.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ConnectionLostError, match=r"--storage postgresql://127.0.0.1:9/x: .*refused"):
        require_server("postgresql://127.0.0.1:9/x")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///study.db", "is a URL of 'sqlite'; allowed: postgresql://"),
        ("mysql://me@host/x", "is a URL of 'mysql'"),
        ("nonsense", "is no URL of a database; allowed: postgresql://"),
        ("postgresql://host:port/x", "is no URL of a database"),
        ("postgresql://me:s3cret@host/x", "has a password in it.*PGPASSWORD or ~/.pgpass"),
        ("postgresql://me@host/x?password=s3cret", "has a password in it"),
    ],
)
def test_other_urls_are_refused_without_a_word_of_a_password(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        storage_url(url)
    assert "s3cret" not in str(refused.value)
