"""The calls of onnxruntime_perf_test that a job on an Android device needs, and the rows from them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from profilers import Job
from profilers.measure import Samples, row
from profilers.rows import RowIdentity, append_rows, cut_torn_line, identity, read_rows
from profilers.run import wanted_rows

from .perf_test import PerfTestResult

ROUNDS = 5
"""Calls per network and pass: spread over the run, as the rounds of profilers.measure are."""

MIN_RUNS = 10
REFERENCE_EVERY = 8
CALLS_FILE = "native.jsonl"
"""Beside a job's rows: what each call measured."""

REFERENCE = ""
"""The key of the reference network, beside the keys of models."""

Call = tuple[RowIdentity, int]
"""(kind, key of the network, pass), and the number of the call in its pass."""


def runs_per_call(job: Job) -> int:
    """How often each call runs its network."""
    return max(MIN_RUNS, -(-job.timing.min_rounds // ROUNDS))


def planned_calls(job: Job) -> Iterator[Call]:
    """All calls in order; the order is the same for the same job, so that a resumed job goes on."""
    rng = random.Random(job.timing.seed)
    passes = sorted({number for group in wanted_rows(job) for _, _, number in group})
    for number_of_pass in passes:
        keys = list(job.models)
        number = 0
        for _ in range(ROUNDS):
            for i, key in enumerate(rng.sample(keys, len(keys))):
                if i % REFERENCE_EVERY == 0:
                    yield ("time", REFERENCE, number_of_pass), number
                yield ("time", key, number_of_pass), number
                number += 1


class Calls:
    """The calls of a job: which are left, what they measured, and the rows that follow."""

    def __init__(self, job: Job) -> None:
        """Read the calls and rows of an earlier run of the job, if there was one."""
        self._job, self._path = job, job.folder / CALLS_FILE
        cut_torn_line(self._path)
        cut_torn_line(job.rows_path)
        self._rows = {identity(found) for found in read_rows(job.rows_path)}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._done: dict[Call, dict[str, Any]] = {}
        for entry in map(json.loads, lines):
            self._done[identity(entry), entry["call"]] = entry
        self._plan = list(planned_calls(job))

    def left(self) -> list[Call]:
        """The calls still to make, in order."""
        return [call for call in self._plan if call not in self._done and call[0] not in self._rows]

    def n_done(self) -> int:
        """How many calls have ended."""
        return len(self._done)

    def add(self, call: Call, result: PerfTestResult) -> None:
        """Keep the result of a call."""
        (kind, key, number_of_pass), number = call
        entry = {
            "kind": kind,
            "key": key,
            "pass": number_of_pass,
            "call": number,
            "wall_ms": result.times_ms,
            "load_ms": result.load_ms,
            "first_run_ms": result.first_run_ms,
            "peak_bytes": result.peak_bytes,
        }
        append_rows(self._path, [entry])
        self._done[call] = entry

    def write_finished(self, *, at_the_end: bool = False) -> int:
        """Write the rows of networks whose calls have all ended, `at_the_end` of those with any; how many."""
        n_written = 0
        for row_id in dict.fromkeys(row_id for row_id, _ in self._plan if row_id[1] != REFERENCE):
            numbers = [number for other, number in self._plan if other == row_id]
            done = [number for number in numbers if (row_id, number) in self._done]
            if row_id not in self._rows and done and (len(done) == len(numbers) or at_the_end):
                append_rows(self._job.rows_path, [self._row(row_id, done)])
                self._rows.add(row_id)
                n_written += 1
        return n_written

    def _row(self, row_id: RowIdentity, numbers: list[int]) -> dict[str, Any]:
        """A row as profilers.measure writes it; what the runner does not tell (thread time) stays empty."""
        entries = [self._done[row_id, number] for number in numbers]
        reference_id = ("time", REFERENCE, row_id[2])
        references = {number: entry for (of, number), entry in self._done.items() if of == reference_id}
        samples, reference = Samples(), Samples()
        for entry in references.values():
            reference.wall_ms += entry["wall_ms"]
        for number, entry in zip(numbers, entries, strict=True):
            before = max(n for n in references if n <= number)
            level = float(np.median(references[before]["wall_ms"]))
            samples.wall_ms += entry["wall_ms"]
            samples.ratio += [t / level for t in entry["wall_ms"]]
        reported: Mapping[str, list[float]] = {
            name: [entry[name] for entry in entries if entry[name] is not None]
            for name in ("load_ms", "first_run_ms", "peak_bytes")
        }
        return {
            **row(row_id, samples, reference, "wall"),
            "cpu_share": None,
            "runner": "onnxruntime_perf_test",
            **{name: float(np.median(values)) if values else None for name, values in reported.items()},
        }
