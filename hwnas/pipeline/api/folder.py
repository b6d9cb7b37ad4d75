"""The folder of a question: the same question goes on there, another one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwnas.runs.fresh import REFUSALS, FreshFolder
from hwnas.runs.lock import LOCK_NAME, Lock
from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import UsageError
from targets.files import safe_name, sha256

QUESTION = "question.json"


@contextmanager
def folder_of(question: Mapping[str, Any], name: str, out: str | Path | None) -> Iterator[Path]:
    """A locked folder: `out`, or `runs/<name>-<hash>`; where bad input ends it at once, it is gone again."""
    digest = sha256(json.dumps(question, sort_keys=True, allow_nan=False).encode())
    path = Path(out) if out is not None else Path("runs") / f"{safe_name(name)}-{digest[:8]}"
    fresh = FreshFolder(path, {QUESTION, LOCK_NAME})
    lock = Lock(path)
    try:
        _check(path, question)
        yield path
    except REFUSALS:
        fresh.discard()
        raise
    finally:
        lock.release()


def _check(path: Path, question: Mapping[str, Any]) -> None:
    file = path / QUESTION
    if not file.exists():
        others = [p.name for p in path.iterdir() if not p.name.startswith(".")]
        if others:
            raise UsageError(f"{path} holds other files ({others[0]}, …); give an empty or a new folder")
        write_checksummed(file, dict(question))
        return
    found = read_checksummed(file, "question of the folder")
    differs = sorted(k for k in {*found, *question} if found.get(k) != question.get(k))
    if differs:
        first = differs[0]
        raise UsageError(
            f"{path} is of another question: {first} was {found.get(first)!r}, now it is "
            f"{question.get(first)!r}; give another folder, or the same question to go on"
        )
