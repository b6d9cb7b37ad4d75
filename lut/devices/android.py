"""Measure on an Android device, which has no Python: adb calls onnxruntime_perf_test, network by network.

Each round calls it once per network in random order, with calls of the reference network in between. Every
call is a fresh process. Its times are kept on this side as soon as it ends, so that a cable that comes off
costs one call. Only latencies are measured: asking for kernels or memory, which need Python there, is an
error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from profilers import Job
from targets import Target
from targets.adb import Adb, find_device, pushed_folder
from targets.context import cpu_facts
from targets.errors import DamagedFileError, TargetError
from targets.files import sha256
from targets.transport import Output, execute

from . import perf_test
from .android_calls import REFERENCE, Calls, runs_per_call
from .callbacks import LogCallback, SleepCallback
from .conditions import note_conditions
from .reconnect import retry_when_lost

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
"""Fixed commands for the device's shell, which expands the `*` over its cores."""


class AndroidDevice:
    """One Android device. It is contacted at the first method call, not before."""

    def __init__(self, target: Target, log: LogCallback, sleep: SleepCallback = time.sleep) -> None:
        """`log` is told of lost connections; `sleep` waits before a lost device is looked for again."""
        self._target, self._log, self._sleep = target, log, sleep
        self._folder = (
            f"{pushed_folder(target.reach)}/models"  # removed after a job; the runner may lie above it
        )
        self._adb: Adb | None = None

    def contact(self) -> None:
        """Find the device and run nothing there; TargetError when that fails."""
        self._device()

    def facts(self) -> Mapping[str, Any]:
        """Facts of the device, its system and its runtime; hashes of its files identify the runtime."""
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
        """What is there of all that measuring needs, as `profilers.facts.inventory` answers elsewhere."""
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
        """Complete the rows in the job's file; calls that have ended are not repeated.

        advance: called for every new row.
        facts: not used, since nothing is kept on the device.
        """
        self._check_kinds(job)
        calls = Calls(job)
        self._device()  # a first contact that fails is not tried again
        until = time.monotonic() + job.timing.seconds
        retry_when_lost(
            lambda: self._measure_once(job, calls, until, advance),
            calls.n_done,
            job.folder,
            self._log,
            self._sleep,
        )

    def _measure_once(self, job: Job, calls: Calls, until: float, advance: Callable[[], None]) -> None:
        self._adb = None  # it may have come back in another state
        if not calls.left():
            return
        self._prepare(job)
        self._note(job, "start")
        for call in calls.left():
            if time.monotonic() > until:
                break
            calls.add(call, self._call(job, call[0][1]))
            for _ in range(calls.write_finished()):
                advance()
        for _ in range(calls.write_finished(at_the_end=True)):
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
        """Push all models to the device, each content once."""
        self._runner()
        self._shell("mkdir", "-p", self._folder)
        present = set(self._shell("ls", self._folder).stdout.decode(errors="replace").split())
        for file in {*job.models.values(), job.reference}:
            data = job.path(file).read_bytes()
            name = f"{sha256(data)}.onnx"
            if name not in present:
                part = f"{self._folder}/part"
                self._device().push(data, part)
                self._shell("mv", part, f"{self._folder}/{name}", lost_if_failed=True)
                present.add(name)

    def _call(self, job: Job, key: str) -> perf_test.PerfTestResult:
        """Run the runner once; DamagedFileError or TargetError repeats its own words when it fails."""
        file = job.path(job.models[key] if key != REFERENCE else job.reference)
        model = f"{self._folder}/{sha256(file)}.onnx"
        result = f"{self._folder}/{time.time_ns()}.csv"  # never one that exists: the runner appends
        runner, n_runs = self._runner(), runs_per_call(job)
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
        conditions: dict[str, Any] = {}
        if texts["frequency_khz"] and all(t.isdigit() for t in texts["frequency_khz"]):
            conditions["frequency_mhz"] = [int(t) / 1000 for t in texts["frequency_khz"]]
        if texts["governor"]:
            conditions["governor"] = "/".join(sorted(set(texts["governor"])))
        return conditions

    def _note(self, job: Job, when: str) -> None:
        note_conditions(job.folder, {"when": when, **self._conditions()})

    def _device(self) -> Adb:
        if self._adb is None:
            self._adb = find_device(self._target.name, self._target.reach)
        return self._adb

    def _shell(self, *command: str, timeout_s: float = _ASK_S, lost_if_failed: bool = False) -> Output:
        """Run a command there; if it fails and is `lost_if_failed`, check that the device is still there."""
        output = execute(self._device(), command, timeout_s=timeout_s)
        if lost_if_failed and output.code != 0:
            self._device().check_present()
        return output

    def _text(self, *command: str) -> str:
        output = self._shell(*command)
        return output.stdout.decode(errors="replace").strip() if output.code == 0 else ""
