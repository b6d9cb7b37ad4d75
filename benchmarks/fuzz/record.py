"""What was read so far, a line per input, so that a run that is stopped goes on."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO

from hwnas.runs.lock import Lock
from targets.errors import UsageError

from .workers import Case

Line = tuple[Case, str, str, float]
"""The input, its outcome, where, and the seconds that it took."""


class Record:
    """The file `read.jsonl` of a folder that one process at a time writes; None: nothing is kept."""

    def __init__(self, folder: Path | None, seed: int) -> None:
        """UsageError where the folder is of another seed."""
        self._file: IO[str] | None = None
        self._known: list[Line] = []
        self._lock: Lock | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(folder)
        path = folder / "read.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if whole and json.loads(whole[0]) != {"seed": seed}:
            raise UsageError(f"{folder} is of {whole[0].strip()}; give another folder for seed {seed}")
        for line in whole[1:]:
            door, number, outcome, where, seconds = json.loads(line)
            self._known.append(((door, number), outcome, where, seconds))
        path.write_text("".join(whole) or json.dumps({"seed": seed}) + "\n", encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def known(self) -> list[Line]:
        """What was read before."""
        return self._known

    def add(self, case: Case, outcome: str, where: str, seconds: float) -> None:
        """One more."""
        if self._file is not None:
            self._file.write(json.dumps([*case, outcome, where, round(seconds, 4)]) + "\n")
            self._file.flush()

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            self._lock.release()
