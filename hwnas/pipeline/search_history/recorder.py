"""Writes the history of a search after each of its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.genotype import write_genotype
from hwnas.gradient.loop import LogRow
from hwnas.runs.options import HistoryOptions
from targets.files import write_atomic

from .alphas import alphas_npz, arch_at, require_cells, write_histories
from .drawings import best_form, drawings
from .stats import write_stats
from .trackers import Tracker, open_trackers

if TYPE_CHECKING:
    from types import TracebackType

    from hwnas.gradient.search import GradientSearch

GENOTYPES = "genotypes"


class Recorder:
    """A context manager; call `on_step` after every step of the search."""

    def __init__(
        self,
        folder: Path,
        search: GradientSearch,
        options: HistoryOptions,
        *,
        before: Sequence[LogRow] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Before: rows of train_stats.csv from stages before the search. Refuses what cannot be written."""
        self._folder, self._search, self._options, self._before = folder, search, options, tuple(before)
        if options.alpha_history:
            require_cells(search.space)
        self._told = len(search.log)
        facts = {"method": search.method.name, "space": search.space.name, **(facts or {})}
        self._trackers: list[Tracker] = open_trackers(options.trackers, folder, folder.name, facts)

    def on_step(self, step: int) -> None:
        """Write, when an epoch has ended."""
        if len(self._search.log) > self._told:
            self.write()

    def write(self) -> None:
        """All files as of now; drawings that are there stay as they are."""
        log, alphas = self._search.log, self._search.alphas()
        write_stats(self._folder, [*self._before, *log])
        write_atomic(self._folder / "alphas.npz", alphas_npz(alphas))
        if self._options.alpha_history and alphas:
            write_histories(self._folder, self._search.space, alphas)
        self._draw(alphas)
        for row in log[self._told :]:
            values = {k: float(v) for k, v in row.items() if isinstance(v, (int, float)) and k != "epoch"}
            for tracker in self._trackers:
                tracker.epoch(int(row["epoch"] or 0), values)
        self._told = len(log)

    def _draw(self, alphas: Mapping[str, Any]) -> None:
        folder, space = self._folder / GENOTYPES, self._search.space
        folder.mkdir(exist_ok=True)
        for number in range(1, len(self._search.log) + 1):
            path = folder / f"epoch-{number:04d}.txt"
            if path.exists():
                continue
            arch = arch_at(space, alphas, number)
            for ending, text in drawings(space, arch, f"{space.name}, epoch {number}").items():
                write_atomic(path.with_suffix(f".{ending}"), text)
            write_atomic(path, write_genotype(space, arch, best_form(space)) + "\n")  # last: says it is whole

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.close()
