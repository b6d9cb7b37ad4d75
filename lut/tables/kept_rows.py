"""What was measured for a table that was then refused: taken as it is where the noise is accepted next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lut.devices.callbacks import LogCallback
from profilers.row_check import checked_rows
from profilers.rows import MeasuredRow, append_rows, cut_torn_line, read_rows
from targets.errors import TargetError


class KeptRows:
    """The file of such rows, in the folder of a context: they are of no other device, runtime or exporter."""

    def __init__(self, folder: Path, table: str, log: LogCallback) -> None:
        """Name of the table; log: told where rows are taken. Nothing is read or written yet."""
        self._path, self._log = folder / f"{table}.disturbed.jsonl", log

    def rows(
        self, accept_noise: bool, needed: Iterable[str], measure: Callable[[], Sequence[MeasuredRow]]
    ) -> Sequence[MeasuredRow]:
        """The kept rows where noise is accepted and all `needed` keys are among them, else `measure()`."""
        if accept_noise and self._path.exists():
            cut_torn_line(self._path)
            kept = checked_rows(read_rows(self._path), str(self._path))
            if {row["key"] for row in kept} >= set(needed):
                self._log(f"{len(kept)} measurements of before are taken as they are: noise is accepted now")
                return kept
        return measure()

    def unless(self, judged: Callable[[], str | None], rows: Sequence[MeasuredRow]) -> str | None:
        """The answer of `judged`; where it refuses the rows as too noisy, they are kept."""
        try:
            return judged()
        except TargetError:
            self.drop()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_rows(self._path, list(rows))
            raise

    def drop(self) -> None:
        """Remove them: there is a table now."""
        self._path.unlink(missing_ok=True)
