"""The run directory: one folder per run of any kind, which any tool opens and which survives `kill -9`.

What lies where stands in DESIGN section 5 and in docs/architecture.md. Nothing in it executes on load.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from targets.errors import DamagedFileError, UsageError
from targets.files import read_json, write_atomic, write_json

from .checkpoints import Checkpoints, Loaded
from .environment import environment, versions
from .fresh import REFUSALS, FreshFolder
from .identity import FORMER, IDENTITY, Identity, is_run, read_identity
from .lock import LOCK_NAME, Lock
from .log import Log, ProgressBar
from .stages import StageRecords
from .toml_text import dump_toml
from .under_way import UNDER_WAY, StageName, UnderWayFile

if TYPE_CHECKING:
    from torch import Tensor

AS_GIVEN = "config.toml"
ENVIRONMENT = "env.json"
# All that a run killed while it was being created can have left.
BEGINNINGS = {LOCK_NAME, AS_GIVEN, ENVIRONMENT, UNDER_WAY}
# What `write_atomic` leaves when its process is killed between write and rename.
TORN = re.compile(
    r"\..+\.(json|jsonl|toml|safetensors|csv|npz|npy|onnx|ort|html|db|dot|svg|txt|md|png|raw|py|kt|swift|cpp)"
    r"\.[a-z0-9_]{8}"
)


class RunDir:
    """A locked run. Get one from `create`, `open` or `enter`; use it as a context manager, or `close` it."""

    def __init__(
        self, path: Path, identity: Identity, log: Log, lock: Lock, fresh: FreshFolder | None = None
    ):
        self.path = path
        self.identity = identity
        self.log = log
        self._lock, self._fresh = lock, fresh
        self._stages = StageRecords(path)
        self._checkpoints = Checkpoints(path / "checkpoints", log.warn)
        self._under_way = UnderWayFile(path)
        self._results: dict[str, dict[str, Any]] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        identity: Identity,
        *,
        given: Mapping[str, Any] | None = None,
        log: Log | None = None,
    ) -> RunDir:
        """A new run at `path`, which must not exist yet or be empty.

        given: what the user set, for config.toml. As a context manager it leaves nothing behind where bad
        input ends it before anything is done.
        """
        fresh = FreshFolder(path, {*BEGINNINGS, IDENTITY})
        lock = Lock(path)
        try:
            _require_fresh(path)
            if given is not None:
                write_atomic(path / AS_GIVEN, dump_toml(given))
            write_json(path / ENVIRONMENT, environment(identity.values.get("seed"), Path.cwd()))
            identity.write(path)  # last, because a folder with this file is a run
        except BaseException:  # raised again: after a signal too, no folder is left that is no run
            fresh.discard()  # nothing was done here yet, and what is here could not be gone on with
            lock.release()
            raise
        return cls(path, identity, log or Log(), lock, fresh)

    @classmethod
    def open(
        cls,
        path: Path,
        identity: Identity | None = None,
        *,
        defaults: Mapping[str, Any] | None = None,
        spell: Callable[[str], str] = str,
        log: Log | None = None,
    ) -> RunDir:
        """The run at `path`, to go on with it.

        identity: what the run shall be; UsageError where it is another.
        defaults: values that a run has which was made before there was a choice.
        spell: see `Identity.require_same`.
        """
        log = log or Log()
        stored = read_identity(path)
        stored = replace(stored, values={**(defaults or {}), **stored.values})
        if identity is not None:
            identity.require_same(stored, path, spell)
        lock = Lock(path)
        _remove_torn_files(path)
        _warn_of_other_versions(path, log)
        return cls(path, identity or stored, log, lock)

    @classmethod
    def enter(
        cls, path: Path, identity: Identity, *, spell: Callable[[str], str] = str, log: Log | None = None
    ) -> RunDir:
        """The run at `path`: gone on with where there is one, else new."""
        if is_run(path):
            return cls.open(path, identity, spell=spell, log=log)
        return cls.create(path, identity, log=log)

    def stage_done(self, name: str) -> dict[str, Any] | None:
        """The result of stage `name` if it is finished and its files are as it left them, else None.

        A missing or changed file raises DamagedFileError, which names it and what to do.
        """
        result = self._stages.read(name)
        if result is not None:
            self._results[name] = result
        return result

    def result(self, stage: str) -> dict[str, Any]:
        """What a finished stage answered; its files are checked once."""
        if stage not in self._results and self.stage_done(stage) is None:
            raise KeyError(f"stage {stage!r} is not done yet")
        return self._results[stage]

    def finish_stage(self, name: str, result: dict[str, Any], files: Iterable[Path | str] = ()) -> None:
        """Records stage `name` as done.

        files: what it wrote, relative to the run; a folder stands for all that is in it.
        """
        self._stages.write(name, result, files)
        # As a resumed run reads it, whose keys are in another order.
        self._results[name] = json.loads(json.dumps(result, sort_keys=True))

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

    def begin_stage(self, stages: Sequence[StageName], name: str | None) -> None:
        """For `hwnas status`: the run does stage `name` of `stages` now; None: all are done."""
        self._under_way.begin(stages, name)

    @contextmanager
    def progress(
        self,
        name: str,
        total: int,
        rest_s: float = 0.0,
        *,
        limit_s: float | None = None,
        forecast_s: float | None = None,
    ) -> Iterator[ProgressBar]:
        """A bar with the time left, as a context manager whose value has `advance(n, note)`.

        rest_s: what the run is expected to take after it. limit_s: what it takes itself at most.
        forecast_s: what it is expected to take itself.
        """
        with (
            self.log.progress(name, total, rest_s, limit_s=limit_s, forecast_s=forecast_s) as bar,
            self._under_way.watched(bar, name, total, forecast_s) as watched,
        ):
            yield watched

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


def _require_fresh(path: Path) -> None:
    """Raises UsageError unless the folder is empty or holds what a killed `create` left."""
    names = {entry.name for entry in path.iterdir()}
    if names & {IDENTITY, FORMER}:
        raise UsageError(
            f"{path} already holds a run: go on with `hwnas search --resume {path}`, or choose another folder"
        )
    foreign = sorted(name for name in names - BEGINNINGS if not TORN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} is not empty ({foreign[0]} is in it); choose another folder")


def _remove_torn_files(path: Path) -> None:
    """In the run and its folders, but for those that are runs of their own, which others may write now."""
    for folder, inside, files in os.walk(path):
        inside[:] = [name for name in inside if not (Path(folder, name) / LOCK_NAME).exists()]
        for name in files:
            if TORN.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)


def _warn_of_other_versions(path: Path, log: Log) -> None:
    if not (path / IDENTITY).exists():
        return  # a run of before, which recorded no versions
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
