"""Evaluations that were paid for once: a file per identity in the data home, a line per architecture.

    <home>/evaluations/<space>-<data>-<hash of the identity>.jsonl

The first line is the identity of the evaluations: space, images and their split, recipe, seed, weights at
the start, versions. Each other line is one architecture with its metrics and its own checksum. Lines are only
ever appended. What the evaluations do not depend on is not stored: costs on a device, paths, the run.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from targets.checksummed import FIELD, checksum, is_intact
from targets.errors import DamagedFileError
from targets.files import digest_of, safe_name

FOLDER = "evaluations"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvaluation:
    """What is known of one architecture whichever device it is for.

    arch: the key of the space.
    metrics: accuracies and losses.
    cpu_s: CPU time that it took.
    date: when it was done, ISO 8601.
    """

    arch: str
    metrics: Mapping[str, float]
    cpu_s: float
    date: str


class EvaluationStore:
    """The stored evaluations of one identity; those of another are never served.

    home: the data home.
    names: of the space and the data, for the name of the file.
    identity: all that decides the metrics of an architecture, as JSON.
    warn: is told of lines that cannot be read.
    """

    def __init__(
        self,
        home: Path,
        names: tuple[str, str],
        identity: Mapping[str, Any],
        *,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.identity = {"schema": SCHEMA, **identity}
        digest = digest_of(self.identity)[:12]
        self.path = home / FOLDER / f"{safe_name('-'.join(names) + '-')}-{digest}.jsonl"
        self._warn = warn
        self._known = self._read()

    @property
    def known(self) -> Mapping[str, StoredEvaluation]:
        """By architecture, in the order in which they were stored first."""
        return self._known

    def add(self, evaluation: StoredEvaluation) -> None:
        """Append one; it is on the disk when this returns. One that tells nothing new is left out."""
        if not _tells_more(evaluation, self._known.get(evaluation.arch)):
            return
        row = _line({**asdict(evaluation), "metrics": dict(evaluation.metrics)})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = file.seek(0, os.SEEK_END)  # wherever other processes left it
                file.write(self._before(size) + row)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DamagedFileError(
                f"cannot write {self.path}: {error.strerror}; free space or check the permissions, and resume"
            ) from error
        self._known[evaluation.arch] = evaluation

    def _before(self, size: int) -> bytes:
        """What stands before a new line: the identity in a new file, the end of a line that was torn."""
        if size == 0:
            return _line(self.identity)
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return b"" if file.read(1) == b"\n" else b"\n"

    def _read(self) -> dict[str, StoredEvaluation]:
        try:
            first, *rows = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DamagedFileError(f"stored evaluations: {self.path}: {error.strerror}") from None
        if not first and not rows:
            return {}
        if _content(first) != self.identity:
            raise DamagedFileError(
                f"stored evaluations: {self.path} does not begin with the identity that its name stands for; "
                f"it is damaged or was renamed: delete it, and its networks are trained again"
            )
        known: dict[str, StoredEvaluation] = {}
        n_damaged = 0
        for row in filter(None, rows):
            content = _content(row)
            try:
                evaluation = StoredEvaluation(**(content or {}))
            except TypeError:
                n_damaged += 1
                continue
            if _tells_more(evaluation, known.get(evaluation.arch)):
                known[evaluation.arch] = evaluation
        if n_damaged:
            self._warn(f"{self.path}: {n_damaged} line(s) were cut off or changed, and are left out")
        return known


def _tells_more(evaluation: StoredEvaluation, known: StoredEvaluation | None) -> bool:
    """Whether it has a metric that the known one lacks, which is of an older version."""
    return known is None or not set(evaluation.metrics) <= set(known.metrics)


def stored_metrics(home: Path, name: str) -> dict[str, Mapping[str, float]]:
    """The metrics by architecture in the file `name` of the store; empty where it is gone.

    name: as a run recorded it, so the evaluations are of its space, images, split and recipe.
    """
    path = home / FOLDER / safe_name(name)
    if not path.exists():
        return {}
    rows = (_content(line) for line in path.read_bytes().split(b"\n")[1:] if line)
    return {row["arch"]: row["metrics"] for row in rows if row is not None and "arch" in row}


def _line(content: Mapping[str, Any]) -> bytes:
    """One line of JSON that holds its own checksum."""
    document = {**content, FIELD: checksum(content)}
    return json.dumps(document, sort_keys=True, allow_nan=False).encode() + b"\n"


def _content(line: bytes) -> dict[str, Any] | None:
    """What `_line` wrote; None where it is not as it was written."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not is_intact(document):
        return None
    return {name: value for name, value in document.items() if name != FIELD}
