"""Measure on an Android device: no Python there, so adb calls onnxruntime_perf_test, network by network.

Each round calls it once per network in random order, with calls of the reference network in between. Every
call is a fresh process; its times are kept on this side as soon as it ends, so that a cable that comes off
costs one call. Latencies only: kernels and memory need the Python side, and asking for them is an error.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from profilers import Job
from profilers.measure import Samples, row
from profilers.rows import Identity, append_rows, cut_torn_line, identity, read_rows
from profilers.run import wanted_rows
from targets import Target
from targets.adb import Adb, find_device, pushed_folder
from targets.context import cpu_facts
from targets.errors import DamagedFileError, TargetError
from targets.files import sha256
from targets.transport import Output, execute

from . import perf_test
from .callbacks import LogCallback, SleepCallback
from .conditions import note_conditions
from .reconnect import persevere

ROUNDS = 5
"""Calls per network and pass: spread over the run, as the rounds of profilers.measure are."""

MIN_RUNS = 10
REFERENCE_EVERY = 8
CALLS_FILE = "native.jsonl"
"""Beside a job's rows: what each call measured."""

_CALL_S, _ASK_S = 600.0, 60.0
_PROPERTIES = {
    "device_model": "ro.product.model",
    "device_board": "ro.board.platform",
    "device_soc": "ro.soc.model",
    "system_version": "ro.build.version.release",
    "machine": "ro.product.cpu.abi",
}
_CONDITIONS = {
    "frequency_khz": "cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",
    "governor": "cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
}
"""Fixed lines for the device's shell, which alone knows how many cores there are."""

_REFERENCE = ""
"""Stands for the reference network where keys of models stand."""


class AndroidDevice:
    """One Android device. Nothing is contacted before the first question."""

    def __init__(self, target: Target, log: LogCallback, sleep: SleepCallback = time.sleep) -> None:
        """sleep: waits before a lost device is looked for again."""
        self._target, self._log, self._sleep = target, log, sleep
        self._folder = (
            f"{pushed_folder(target.reach)}/models"  # removed after a job; the runner may lie above it
        )
        self._adb: Adb | None = None

    def contact(self) -> None:
        """Find the device and do nothing there; TargetError when that fails."""
        self._device()

    def facts(self) -> Mapping[str, Any]:
        """What the device, its system and its runtime are; the runtime by the hashes of its files."""
        runner = self._runner()
        library = str(Path(runner).with_name("libonnxruntime.so"))
        hashes = self._shell("sha256sum", runner, library).stdout.decode(errors="replace").split()
        if not hashes:
            self._refuse_runner(f"{runner} is not there")
        facts: dict[str, Any] = {"system": "Android", "runner_sha256": hashes[0]}
        if len(hashes) >= 4:
            facts["library_sha256"] = hashes[2]
        facts |= {name: self._text("getprop", key) for name, key in _PROPERTIES.items()}
        facts["cpu_count"] = int(self._text("nproc") or 0)
        facts |= cpu_facts(self._text("cat", "/proc/cpuinfo"))
        governor = self._conditions().get("governor")
        return {**facts, "cpu_governor": governor} if governor else facts

    def inventory(self) -> Mapping[str, Any]:
        """What the device has of that which measuring needs, as profilers.facts.inventory tells of others."""
        runner = self._runner()
        if self._shell("test", "-x", runner).code != 0:
            self._refuse_runner(f"{runner} is not there, or not executable")
        return {
            "runner": runner,
            "folder": self._folder,
            "free_bytes": self._free_bytes(),
            "conditions": self._conditions(),
            "energy": [],
        }

    def measure(self, job: Job, advance: Callable[[], None], facts: object = None) -> None:
        """Rows of the job's file are completed, as by PythonDevice; calls that ended are not repeated.

        facts: not needed, since nothing is kept on the device.
        """
        self._check_kinds(job)
        calls = _Calls(job)
        self._device()  # a first contact that fails is not tried again
        until = time.monotonic() + job.timing.seconds
        persevere(
            lambda: self._measure_once(job, calls, until, advance),
            calls.n_done,
            job.folder,
            self._log,
            self._sleep,
        )

    def _measure_once(self, job: Job, calls: _Calls, until: float, advance: Callable[[], None]) -> None:
        self._adb = None  # it may have come back in another state
        if not calls.left():
            return
        self._prepare(job)
        self._note(job, "start")
        for of, number in calls.left():
            if time.monotonic() > until:
                break
            calls.add(of, number, self._call(job, of, number))
            for _ in calls.finished():
                advance()
        for _ in calls.finished(at_the_end=True):
            advance()
        self._note(job, "end")
        self._shell("rm", "-r", self._folder)

    def _check_kinds(self, job: Job) -> None:
        others = sorted({kind for kinds in job.kinds.values() for kind in kinds} - {"time"})
        if others:
            raise TargetError(
                f"target {self._target.name}: an Android device measures latencies only, not "
                f"{', '.join(others)}; these come from a target with Python"
            )

    def _prepare(self, job: Job) -> None:
        """All models on the device, each content once."""
        self._runner()
        self._shell("mkdir", "-p", self._folder)
        there = set(self._shell("ls", self._folder).stdout.decode(errors="replace").split())
        for file in {*job.models.values(), job.reference}:
            data = job.path(file).read_bytes()
            name = f"{sha256(data)}.onnx"
            if name not in there:
                part = f"{self._folder}/part"
                self._device().push(data, part)
                self._shell("mv", part, f"{self._folder}/{name}", lost_if_failed=True)
                there.add(name)

    def _call(self, job: Job, of: Identity, number: int) -> perf_test.Timed:
        """One call of the runner; DamagedFileError or TargetError with its own words when it fails."""
        key = of[1]
        file = job.path(job.models[key] if key != _REFERENCE else job.reference)
        model = f"{self._folder}/{sha256(file)}.onnx"
        result = f"{self._folder}/{time.time_ns()}.csv"  # never one that exists: the runner appends
        runner, n_runs = self._runner(), _runs(job)
        options = perf_test.arguments(self._target, model, result, n_runs=n_runs, seed=job.timing.seed)
        command = ["env", f"LD_LIBRARY_PATH={Path(runner).parent}", runner, *options]
        output = self._shell(*command, timeout_s=_CALL_S, lost_if_failed=True)
        if output.code in (126, 127):
            self._refuse_runner(perf_test.explain(output.stderr, output.code))
        if output.code != 0:
            what = perf_test.explain(output.stderr, output.code)
            if "not supported in this build" in what:
                raise TargetError(
                    f"target {self._target.name}: provider {self._target.provider} is not in this runner "
                    f"({what}); build it with that provider, or set provider = 'cpu'"
                )
            raise DamagedFileError(
                f"onnxruntime_perf_test cannot run {key or 'the reference network'}: {what}"
            )
        csv = self._shell("cat", result, lost_if_failed=True).stdout.decode(errors="replace")
        return perf_test.parse(output.stdout.decode(errors="replace"), csv, key or "the reference", n_runs)

    def _runner(self) -> str:
        if not self._target.reach.runner:
            self._refuse_runner("reach.runner is not set")
        return self._target.reach.runner

    def _refuse_runner(self, why: str) -> None:
        raise TargetError(
            f"target {self._target.name}: there is no onnxruntime_perf_test to measure with ({why}). "
            f"{perf_test.HOW_TO_GET}"
        )

    def _free_bytes(self) -> int:
        lines = self._text("df", "-k", str(Path(self._folder).parent)).splitlines()
        words = lines[-1].split() if lines else []
        return 1024 * int(words[3]) if len(words) > 3 and words[3].isdigit() else 0

    def _conditions(self) -> dict[str, Any]:
        texts = {name: self._text("sh", "-c", line).split() for name, line in _CONDITIONS.items()}
        found: dict[str, Any] = {}
        if texts["frequency_khz"] and all(t.isdigit() for t in texts["frequency_khz"]):
            found["frequency_mhz"] = [int(t) / 1000 for t in texts["frequency_khz"]]
        if texts["governor"]:
            found["governor"] = "/".join(sorted(set(texts["governor"])))
        return found

    def _note(self, job: Job, when: str) -> None:
        note_conditions(job.folder, {"when": when, **self._conditions()})

    def _device(self) -> Adb:
        if self._adb is None:
            self._adb = find_device(self._target.name, self._target.reach)
        return self._adb

    def _shell(self, *command: str, timeout_s: float = _ASK_S, lost_if_failed: bool = False) -> Output:
        """lost_if_failed: where the command does not usually fail, see whether the device is still there."""
        output = execute(self._device(), command, timeout_s=timeout_s)
        if lost_if_failed and output.code != 0:
            self._device().check_present()
        return output

    def _text(self, *command: str) -> str:
        output = self._shell(*command)
        return output.stdout.decode(errors="replace").strip() if output.code == 0 else ""


def _runs(job: Job) -> int:
    return max(MIN_RUNS, -(-job.timing.min_rounds // ROUNDS))


class _Calls:
    """The calls of a job: which are left, what they measured, and the rows that follow."""

    def __init__(self, job: Job) -> None:
        self._job, self._path = job, job.folder / CALLS_FILE
        cut_torn_line(self._path)
        cut_torn_line(job.rows_path)
        self._rows = {identity(found) for found in read_rows(job.rows_path)}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._done: dict[tuple[Identity, int], dict[str, Any]] = {}
        for entry in map(json.loads, lines):
            self._done[identity(entry), entry["call"]] = entry
        self._plan = list(_plan(job))

    def left(self) -> list[tuple[Identity, int]]:
        return [call for call in self._plan if call not in self._done and call[0] not in self._rows]

    def n_done(self) -> int:
        return len(self._done)

    def add(self, of: Identity, number: int, timed: perf_test.Timed) -> None:
        kind, key, passed = of
        entry = {
            **{"kind": kind, "key": key, "pass": passed, "call": number},
            **{"wall_ms": timed.times_ms, "load_ms": timed.load_ms},
            **{"first_run_ms": timed.first_run_ms, "peak_bytes": timed.peak_bytes},
        }
        append_rows(self._path, [entry])
        self._done[of, number] = entry

    def finished(self, *, at_the_end: bool = False) -> list[Identity]:
        """Write the rows of networks with all their calls; at the end of those with any."""
        new: list[Identity] = []
        for of in dict.fromkeys(of for of, _ in self._plan if of[1] != _REFERENCE):
            numbers = [number for other, number in self._plan if other == of]
            done = [number for number in numbers if (of, number) in self._done]
            if of not in self._rows and done and (len(done) == len(numbers) or at_the_end):
                append_rows(self._job.rows_path, [self._row(of, done)])
                self._rows.add(of)
                new.append(of)
        return new

    def _row(self, of: Identity, numbers: list[int]) -> dict[str, Any]:
        """As profilers.measure has it; what the runner does not tell (thread time) is empty, not made up."""
        entries = [self._done[of, number] for number in numbers]
        samples, reference = Samples(), Samples()
        for other in (entry for (one, _), entry in self._done.items() if one == ("time", _REFERENCE, of[2])):
            reference.wall_ms += other["wall_ms"]
        for number, entry in zip(numbers, entries, strict=True):
            before = max(
                n for one, n in self._done if one[1] == _REFERENCE and one[2] == of[2] and n <= number
            )
            level = float(np.median(self._done[("time", _REFERENCE, of[2]), before]["wall_ms"]))
            samples.wall_ms += entry["wall_ms"]
            samples.ratio += [t / level for t in entry["wall_ms"]]
        told: Mapping[str, list[float]] = {
            name: [entry[name] for entry in entries if entry[name] is not None]
            for name in ("load_ms", "first_run_ms", "peak_bytes")
        }
        return {
            **row(of, samples, reference, "wall"),
            "cpu_share": None,
            "runner": "onnxruntime_perf_test",
            **{name: float(np.median(values)) if values else None for name, values in told.items()},
        }


def _plan(job: Job) -> Iterator[tuple[Identity, int]]:
    """(network, number of the call) in order: the same for the same job, so that a resumed one goes on."""
    rng = random.Random(job.timing.seed)
    passes = sorted({of[2] for group in wanted_rows(job) for of in group})
    for passed in passes:
        keys = [key for key in job.models]
        number = 0
        for _ in range(ROUNDS):
            for i, key in enumerate(rng.sample(keys, len(keys))):
                if i % REFERENCE_EVERY == 0:
                    yield ("time", _REFERENCE, passed), number
                yield ("time", key, passed), number
                number += 1
