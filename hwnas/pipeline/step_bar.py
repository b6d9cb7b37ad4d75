"""The bar of one training, which tells its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hwnas.runs.run_dir import RunDir


@contextmanager
def step_bar(run: RunDir, job_id: str) -> Iterator[Callable[[int, int], None]]:
    """A bar in percent, as the `on_step` of a training: called with (steps done, all steps)."""
    with run.progress(f"training {job_id}", 100) as bar:
        percent = 0

        def on_step(done: int, total: int) -> None:
            nonlocal percent
            bar.advance(100 * done // total - percent)
            percent = 100 * done // total

        yield on_step
