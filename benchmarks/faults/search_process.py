"""A small search as a process of its own: start it, interrupt it at a moment, go on with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.main_jobs import STAGES

from .moments import STARTING, WORKER, Moment

OPTIONS = (
    *("--data", "digits", "--image-size", "16", "--seed", "3", "--workers", "1"),
    *("--profile-minutes", "0.5", "--accept-noise", "--budget", "latency_ms<=5000"),
    *("--supernet-steps", "110", "--search-steps", "110", "--evaluations", "4", "--population", "2"),
    *("--eval-epochs", "1", "--picks", "1", "--random-baselines", "1", "--train-epochs", "1"),
)
"""The budget is far above every network, so that no measurement decides what is chosen. Shared weights
and the gradient search leave one checkpoint each on the way."""

_MARK = "HWNAS_FAULTS_RUN"
"""In the environment of a search and of all that it starts: the folder of its run. Training processes have
sessions of their own, and lose their parent when it is killed, so neither finds them."""

_TRAINS = b"hwnas.executors.child_process"
"""In the command of a training process."""

_LOOK_S = 0.001
_END_S = 120.0
"""Within which an interrupted process must have ended; the machine may be busy."""


@dataclass(slots=True)
class Search:
    """The commands of one run, and the process of the last one.

    folder: of the space and the run. home: of tables and evaluations. out: the run. process: of the command
    that was started last. before_ns: when what that process found in `progress.json` was written.
    """

    folder: Path
    home: Path
    out: Path
    process: subprocess.Popen[bytes] | None = None
    before_ns: int = 0

    def command(self) -> list[str]:
        """The first command, or the one that goes on where there is a run."""
        words = [sys.executable, "-m", "cli", "search", "--home", str(self.home)]
        if (self.out / "config.resolved.json").exists():
            return [*words, "--resume", str(self.out)]
        space = self.folder / "tiny.toml"
        space.write_text(STAGES, encoding="utf-8")
        return [*words, *OPTIONS, "--space", str(space), "--out", str(self.out)]

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own; what it says is added to `said.txt` in the folder."""
        root = str(Path(__file__).resolve().parents[2])
        environment = {
            **os.environ,
            "PYTHONPATH": root,
            "OMP_NUM_THREADS": "1",
            _MARK: str(self.folder),
        }
        self.before_ns = self._written_ns()
        with self._log.open("ab") as said:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        return self.process

    def close(self) -> None:
        """End what is left of the process."""
        if self.process is not None:
            self.end(self.process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End the process and all that a command of this run has started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pid in self.members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def members(self, command: bytes = b"") -> list[int]:
        """The processes alive that a command of this run has started, as Linux lists them.

        command: only those whose command has these words.
        """
        mark = f"{_MARK}={self.folder}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                marked = mark in (path / "environ").read_bytes().split(b"\0")
                if marked and state != "Z" and command in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
        return found

    def trainers(self) -> list[int]:
        """Its training processes."""
        return self.members(_TRAINS)

    def said(self) -> str:
        """All that the commands of this run have printed."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.folder / "said.txt"

    def stage(self) -> str:
        """The stage under way; STARTING before the process has begun one, '' after the last."""
        if self._written_ns() == self.before_ns:
            return STARTING
        try:
            state = json.loads(self._progress.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return STARTING
        return str(state["stage"] or "")

    def _written_ns(self) -> int:
        """When `progress.json` was written; 0 where there is none."""
        try:
            return self._progress.stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def _progress(self) -> Path:
        return self.out / "progress.json"


def wait_for(
    search: Search, process: subprocess.Popen[bytes], moment: Moment, took_s: Mapping[str, float]
) -> str | None:
    """Wait for the moment; the stage that it came in, None where the process ended before.

    took_s: seconds of each stage of an undisturbed run. Where the stage is over already, or ends without a
    write of the file or a training process, it is now.
    """
    order, since = list(took_s), time.monotonic()
    before = dict(_writes(search.out, moment.file))
    stage = STARTING
    while process.poll() is None:
        now, at = time.monotonic(), search.stage()
        if at != stage:
            stage, since = at, now
        if stage == "":
            return None
        if order.index(stage) > order.index(moment.stage):
            return stage
        if moment.file:
            writes = dict(_writes(search.out, moment.file))
            if stage == moment.stage and writes != before:
                return stage
            before = writes
        elif (
            stage == moment.stage
            and now - since >= moment.share * took_s[stage]
            and (moment.how != WORKER or search.trainers())
        ):
            return stage
        time.sleep(_LOOK_S)
    return None


def interrupt(search: Search, process: subprocess.Popen[bytes], how: str) -> dict[str, Any]:
    """Interrupt it; its exit code, the seconds until it ended, and processes of it that stay."""
    began = time.monotonic()
    if how == WORKER:
        workers = search.trainers()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return {"workers": len(workers)}
    # A signal of a terminal goes to the search alone; what it started must hear of its end.
    os.kill(process.pid, getattr(signal, f"SIG{how}"))
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        search.end(process)
        return {"exit": "none", "seconds": _END_S, "left": 0}
    seconds = time.monotonic() - began
    while (left := search.members()) and time.monotonic() - began < _END_S:
        time.sleep(0.05)
    search.end(process)
    return {"exit": process.returncode, "seconds": round(seconds, 2), "left": len(left)}


def _writes(out: Path, file: str) -> Iterator[tuple[str, float]]:
    """Name and time of the file, of those of a folder, and of the unfinished ones beside them."""
    if not file:
        return
    folder, name = (out / file, "") if file.endswith("/") else (out, file)
    entries: Sequence[Path] = []
    with suppress(OSError):
        entries = list(folder.rglob("*") if not name else folder.iterdir())
    for path in entries:
        if not name or path.name == name or path.name.startswith(f".{name}."):
            with suppress(OSError):
                yield str(path), path.stat().st_mtime
