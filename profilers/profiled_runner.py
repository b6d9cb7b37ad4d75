"""A network that is run with onnxruntime's profiler on: which kernels it becomes, and how long each takes.

A session with profiling on writes one event per kernel and run, in order of execution, and the optimised
graph to a file. Each event costs the runtime about 8 us outside the kernel's time and 1 us inside, so times
are for models of kernels, never for the latency of a network.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from targets import Target
from targets.errors import HwnasError, TargetError

from .graph import read_graph
from .kernels import KERNEL_TIME, Kernel, describe
from .session import Runner

_RUN = "model_run"


class ProfiledRunner(Runner):
    """A network whose every run leaves a time per kernel."""

    def __init__(self, name: str, model: Path | bytes, target: Target, seed: int) -> None:
        """Load it; the optimised graph is kept without its weights. Errors as Runner."""
        self._folder = tempfile.TemporaryDirectory(prefix="hwnas-kernels-")
        optimised = Path(self._folder.name) / "optimised.onnx"
        self._calls: list[int] = []
        try:
            trace = Path(self._folder.name) / "trace"
            super().__init__(name, model, target, seed, profile=trace, save=optimised)
            self._graph = read_graph(optimised.read_bytes(), f"the optimised graph of {name}")
        except HwnasError:
            self._folder.cleanup()
            raise
        self._name = name
        optimised.unlink()

    def run(self, times: int) -> None:
        """Run it `times` times, one after the other."""
        self._calls.append(times)
        super().run(times)

    def finish(self, n_samples: int) -> dict[str, Any]:
        """`kernels` and `kernel_us` as `profile` returns them, the kernels as JSON."""
        kernels, kernel_us = self.profile(n_samples)
        fields = {"kernels": [kernel.to_json() for kernel in kernels], "kernel_us": kernel_us}
        return {**super().finish(n_samples), **fields}

    def profile(self, n_samples: int) -> tuple[list[Kernel], list[list[float]]]:
        """(the kernels in order of execution, the microseconds of each kernel per sample); call it once.

        A sample is a call that refills the caches and a call that counts, as `measure.sample` makes them.
        """
        path = Path(self._session.end_profiling())
        try:
            events = json.loads(path.read_text(encoding="utf-8"))
        finally:
            self._folder.cleanup()
        runs = _runs(events)
        if len(runs) != sum(self._calls):
            raise TargetError(
                f"{self._name}: the profile holds {len(runs)} runs of {sum(self._calls)}; onnxruntime drops "
                "events after the first million: ask for fewer rounds"
            )
        kernel_us: list[list[float]] = []
        at = len(runs) - sum(self._calls[-2 * n_samples :])
        for refill, times in zip(self._calls[-2 * n_samples :: 2], self._calls[-2 * n_samples + 1 :: 2]):
            sample = runs[at + refill : at + refill + times]
            per_kernel = zip(*(self_us(run) for run in sample))
            kernel_us.append([round(sum(us) / times, 2) for us in per_kernel])
            at += refill + times
        return describe(runs[-1], self._graph, self._bound.shapes), kernel_us


def self_us(run: Sequence[Mapping[str, Any]]) -> list[float]:
    """Microseconds of each event without those inside it: an `If` or a `Loop` holds what it runs."""
    times: list[float] = []
    open_: list[int] = []  # events that no later one holds yet
    for i, event in enumerate(run):
        inner = 0.0
        while open_ and "ts" in event and run[open_[-1]]["ts"] >= event["ts"]:
            inner += run[open_.pop()]["dur"]
        times.append(max(event["dur"] - inner, 0))
        open_.append(i)
    return times


def _runs(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The kernel events of each run: a run's own event follows those of its kernels."""
    runs: list[list[Mapping[str, Any]]] = []
    current: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(KERNEL_TIME):
            current.append(event)
        elif event.get("name") == _RUN:
            runs.append(current)
            current = []
    return runs
