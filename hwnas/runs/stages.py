"""Records of finished stages: the result, and the SHA-256 of every file the stage left in the run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError
from targets.files import safe_name, sha256


class StageRecords:
    """The folder `stages/` of one run. A record is written last: with it the stage counts as done."""

    def __init__(self, root: Path):
        self._root = root
        self._folder = root / "stages"

    def write(self, name: str, result: dict[str, Any], files: Iterable[Path | str]) -> None:
        """Seals the stage. files: what it wrote, inside the run; folders stand for all they hold."""
        hashes = {str(path.relative_to(self._root)): sha256(path) for path in self._expand(files)}
        finished = datetime.now(UTC).isoformat(timespec="milliseconds")
        document = {"schema": 1, "stage": name, "finished": finished, "result": result, "files": hashes}
        write_checksummed(self._path(name), document)

    def read(self, name: str) -> dict[str, Any] | None:
        """The result of a finished stage, its files checked; None when it is not finished."""
        path = self._path(name)
        if not path.exists():
            return None
        document = read_checksummed(path, f"the record of stage {name!r}")
        for relative, expected in document["files"].items():
            self._check(name, relative, expected)
        result: dict[str, Any] = document["result"]
        return result

    def files(self, name: str) -> list[str]:
        """What a finished stage left, relative to the run."""
        return sorted(read_checksummed(self._path(name), f"the record of stage {name!r}")["files"])

    def finished(self) -> dict[str, str]:
        """Stage name -> when it finished, in that order, without checking the files."""
        records = [read_checksummed(path, "a stage record") for path in sorted(self._folder.glob("*.json"))]
        return {r["stage"]: r["finished"] for r in sorted(records, key=lambda record: record["finished"])}

    def _check(self, name: str, relative: str, expected: str) -> None:
        path = self._root / relative
        advice = f"restore it, or delete {self._path(name)} to have that stage done again on --resume"
        if not path.is_file():
            raise DamagedFileError(f"{path}, written by stage {name!r}, is missing; {advice}")
        if sha256(path) != expected:
            raise DamagedFileError(f"{path} is not as stage {name!r} left it; {advice}")

    def _expand(self, files: Iterable[Path | str]) -> list[Path]:
        expanded: list[Path] = []
        for file in files:
            path = self._root / file  # an absolute path stays what it is
            if not path.resolve().is_relative_to(self._root.resolve()):
                raise ValueError(f"{path} is outside the run {self._root}")
            expanded += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        return expanded

    def _path(self, name: str) -> Path:
        return self._folder / f"{safe_name(name)}.json"
