"""The run directory: one folder that holds a search, can be opened with any tool, and survives `kill -9`.

What lies where stands in DESIGN section 5 and in docs/architecture.md. Nothing in it executes on load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, safe_name, write_atomic, write_json

from .checkpoints import Checkpoints, Loaded
from .config import FREE_ON_RESUME, SearchConfig, dump_toml, option_name
from .environment import environment, versions
from .fresh import REFUSALS, FreshFolder
from .lock import LOCK_NAME, Lock
from .log import Log, Progress
from .stages import StageRecords

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1
AS_GIVEN = "config.toml"
RESOLVED = "config.resolved.json"
ENVIRONMENT = "env.json"
# All that a run killed while it was being created can have left.
BEGINNINGS = {LOCK_NAME, AS_GIVEN, ENVIRONMENT}
# What `write_atomic` leaves when its process is killed between write and rename.
TORN = re.compile(r"\..+\.(json|toml|safetensors|csv|npz|npy|onnx|html|db|dot|svg|txt)\.[a-z0-9_]{8}")


class RunDir:
    """A locked run. Get one from `create` or `open`; use it as a context manager, or `close` it."""

    def __init__(
        self, path: Path, config: SearchConfig, log: Log, lock: Lock, fresh: FreshFolder | None = None
    ):
        self.path = path
        self.config = config
        self.log = log
        self._lock, self._fresh = lock, fresh
        self._stages = StageRecords(path)
        self._checkpoints = Checkpoints(path / "checkpoints", log.warn)

    @classmethod
    def create(
        cls,
        path: Path,
        config: SearchConfig,
        *,
        given: Mapping[str, Any] | None = None,
        log: Log | None = None,
    ) -> RunDir:
        """A new run at `path`, which must not exist yet or be empty.

        given: what the user set, for config.toml. As a context manager it leaves nothing behind where bad
        input ends it before anything is done.
        """
        fresh = FreshFolder(path, {*BEGINNINGS, RESOLVED})
        lock = Lock(path)
        try:
            _require_fresh(path)
            write_atomic(path / AS_GIVEN, dump_toml(config.to_json() if given is None else given))
            write_json(path / ENVIRONMENT, environment(config.seed, Path.cwd()))
            # Last, because a folder with this file is a run.
            write_checksummed(path / RESOLVED, {"schema": SCHEMA, **config.to_json()})
        except BaseException as error:  # raised again: the lock is let go whatever happened
            if isinstance(error, REFUSALS):
                fresh.discard()
            lock.release()
            raise
        return cls(path, config, log or Log(), lock, fresh)

    @classmethod
    def open(cls, path: Path, *, given: Mapping[str, Any] | None = None, log: Log | None = None) -> RunDir:
        """The run at `path`, to go on with it.

        given: options set again on resume. Those of `FREE_ON_RESUME` take effect; any other that differs
        from the run's is a UsageError, because a resume never changes the question.
        """
        log = log or Log()
        config = _same_question(path, read_config(path), given or {})
        lock = Lock(path)
        _remove_torn_files(path)
        _warn_of_other_versions(path, log)
        return cls(path, config, log, lock)

    def stage_done(self, name: str) -> dict[str, Any] | None:
        """The result of stage `name` if it is finished and its files are as it left them, else None.

        A missing or changed file raises DamagedFileError, which names it and what to do.
        """
        return self._stages.read(name)

    def finish_stage(self, name: str, result: dict[str, Any], files: Iterable[Path | str] = ()) -> None:
        """Records stage `name` as done.

        files: what it wrote, relative to the run; a folder stands for all that is in it.
        """
        self._stages.write(name, result, files)

    def forget_stage(self, name: str) -> None:
        """Makes stage `name` count as not done."""
        self._stages.forget(name)

    def save_checkpoint(
        self, stage: str, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
    ) -> None:
        """Keeps where `stage` is after `step` steps; the one before is kept too."""
        self._checkpoints.save(stage, step, tensors, state)

    def load_checkpoint(self, stage: str) -> Loaded | None:
        """(step, tensors, state) of the newest whole checkpoint of `stage`; None when there is none yet."""
        return self._checkpoints.load(stage)

    def delete_checkpoints(self, stage: str) -> None:
        """Frees the disk once `stage` is done and its result lies in files of its own."""
        self._checkpoints.delete(stage)

    def progress(self, name: str, total: int) -> AbstractContextManager[Progress]:
        """A bar with the time left, as a context manager whose value has `advance(n, note)`."""
        return self.log.progress(name, total)

    def close(self) -> None:
        """Lets other processes use the run."""
        self._lock.release()

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fresh is not None and isinstance(error, REFUSALS):
            self._fresh.discard()
        self.close()


def default_path(config: SearchConfig, runs: Path = Path("runs")) -> Path:
    """The first free `runs/<data>-<target>-<n>`."""
    stem = f"{_stem(config.data)}-{_stem(config.target)}"
    n = 1
    while (runs / f"{stem}-{n}").exists():
        n += 1
    return runs / f"{stem}-{n}"


def _stem(name_or_path: str) -> str:
    try:
        return safe_name(Path(name_or_path).expanduser().absolute().stem)[:40]
    except UsageError:
        return "unnamed"  # letters that no folder name should be made of


def read_config(path: Path) -> SearchConfig:
    """The config of the run at `path`, without locking it."""
    file = path / RESOLVED
    if not file.exists():
        raise UsageError(f"{path} is no run directory: it has no {RESOLVED}; runs are made by `hwnas search`")
    document = read_checksummed(file, "the run's configuration")
    schema = document.pop("schema", None)
    if schema != SCHEMA:
        raise DamagedFileError(
            f"{file} has schema {schema!r}, this hwnas reads {SCHEMA}; use the version that made it"
        )
    return SearchConfig.from_json(document, str(file))


def _same_question(path: Path, config: SearchConfig, given: Mapping[str, Any]) -> SearchConfig:
    stored = config.to_json()
    asked = SearchConfig.from_json({**stored, **given}, "the options").to_json()
    differing = [key for key in stored if asked[key] != stored[key] and key not in FREE_ON_RESUME]
    if differing:
        lines = "".join(
            f"\n  {option_name(k)}: the run has {stored[k]!r}, asked for {asked[k]!r}" for k in differing
        )
        raise UsageError(
            f"{path} answers another question, and a resume never changes it:{lines}\nLeave these options "
            f"out, or start a new run without --resume"
        )
    return SearchConfig.from_json(asked, "the options")


def _require_fresh(path: Path) -> None:
    """Raises UsageError unless the folder is empty or holds what a killed `create` left."""
    names = {entry.name for entry in path.iterdir()}
    if RESOLVED in names:
        raise UsageError(
            f"{path} already holds a run: go on with `hwnas search --resume {path}`, or choose another --out"
        )
    foreign = sorted(name for name in names - BEGINNINGS if not TORN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} is not empty ({foreign[0]} is in it); choose another --out")


def _remove_torn_files(path: Path) -> None:
    for folder in (path, path / "stages", path / "checkpoints"):
        if folder.is_dir():
            for entry in folder.iterdir():
                if entry.is_file() and TORN.fullmatch(entry.name):
                    entry.unlink()


def _warn_of_other_versions(path: Path, log: Log) -> None:
    try:
        then = read_json(path / ENVIRONMENT, "the run's environment")["versions"]
    except (DamagedFileError, KeyError, TypeError):
        log.warn(f"{path / ENVIRONMENT} cannot be read, so the versions the run began with are not known")
        return
    now = versions()
    changed = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    if changed:
        log.warn(
            f"the run began with other versions, so its numbers may differ slightly: {', '.join(changed)}"
        )
