"""Memory, load time and first run of a network, each time in a process that has done nothing before.

The highest mark of a process is never lowered by what follows, so no process measures two networks. glibc
moves its thresholds while it runs and then keeps or returns the same freed weights from one process to the
next: ViT-B/16 held 424 to 690 MB with nothing changed. Setting the thresholds to the values that they start
with keeps them there, and the mark repeats to 0.2 %; one process more, left as it is, tells what a user's own
may hold.
"""

from __future__ import annotations

import json
import platform
import signal
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError
from targets.own_process import own_command, own_environment

from .job import Job
from .limits import NO_MEMORY

PROCESSES = 3
TIMEOUT_S = 300.0

Stages = Mapping[str, Mapping[str, Any]]
RunChild = Callable[[Sequence[str], Mapping[str, str], float], "tuple[int, str, str]"]
"""(arguments, settings, seconds) -> (exit code or minus the signal, stdout, stderr) of a fresh process."""

MALLOC: Mapping[str, str] = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""The allocator's frozen settings; glibc reads them, other libraries have no such thresholds."""

_TUNING = ("MALLOC_", "GLIBC_TUNABLES", "TCMALLOC_", "MIMALLOC_", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES")
_ERRORS: Mapping[int, type[HwnasError]] = {2: UsageError, 3: DamagedFileError, 4: TargetError}
_TIMED_OUT = 124


def memory_row(job: Job, key: str, child: RunChild | None = None) -> dict[str, Any]:
    """The row of a model's memory; medians over fresh processes.

    baseline_bytes: numpy and onnxruntime imported, nothing loaded.
    loaded_bytes: the session made.
    peak_load_bytes, peak_run_bytes: highest mark while loading and while running; the second is None where
        the system cannot reset its mark.
    peak_bytes: the highest mark of the process's life.
    *_spread: largest over smallest - 1.
    peak_default_bytes: the mark of one process whose allocator is not frozen.
    """
    child = child or run_child
    path = job.path(job.models[key])
    arguments = [str(path), json.dumps(job.target.to_json()), str(job.timing.seed)]
    runs = [_stages(key, arguments, MALLOC, child) for _ in range(PROCESSES)]
    peaks = [_peak(stages) for stages in runs]
    loads = [stages["load"]["wall_ms"] for stages in runs]
    resettable = all(s["next_is_fresh"] for stages in runs for s in stages.values())
    run_peaks = [max(s["first run"]["peak_bytes"], s["steady"]["peak_bytes"]) for s in runs]
    return {
        "kind": "memory",
        "key": key,
        "pass": 0,
        "n": len(runs),
        "file_bytes": path.stat().st_size,
        "baseline_bytes": _median(s["import"]["now_bytes"] for s in runs),
        "loaded_bytes": _median(s["load"]["now_bytes"] for s in runs),
        "peak_load_bytes": _median(s["load"]["peak_bytes"] for s in runs),
        "peak_run_bytes": _median(run_peaks) if resettable else None,
        "peak_bytes": _median(peaks),
        "peak_spread": max(peaks) / min(peaks) - 1,
        "peak_default_bytes": _peak(_stages(key, arguments, {}, child)),
        "load_ms": statistics.median(loads),
        "load_spread": max(loads) / min(loads) - 1,
        "first_run_ms": statistics.median(s["first run"]["wall_ms"] for s in runs),
        "source": runs[0]["import"]["source"],
        "libc": "-".join(filter(None, platform.libc_ver())) or platform.system(),
        "malloc": dict(MALLOC),
    }


def run_child(arguments: Sequence[str], malloc: Mapping[str, str], limit_s: float) -> tuple[int, str, str]:
    """Run `python -m profilers.memory_child` with these arguments and these settings of the allocator."""
    environment = {k: v for k, v in own_environment().items() if not k.startswith(_TUNING)}
    environment.update(malloc, OMP_NUM_THREADS="1")
    try:
        done = subprocess.run(
            own_command("profilers.memory_child", *arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return _TIMED_OUT, _text(late.stdout), _text(late.stderr)
    return done.returncode, done.stdout, done.stderr


def _stages(key: str, arguments: Sequence[str], malloc: Mapping[str, str], child: RunChild) -> Stages:
    """What one process printed, by stage; of several steady runs the highest peak."""
    code, out, err = child(arguments, malloc, TIMEOUT_S)
    stages: dict[str, dict[str, Any]] = {}
    for line in out.splitlines():
        if line.startswith("{") and line.endswith("}"):
            stage = json.loads(line)
            before = stages.get(stage["stage"], stage)
            stages[stage["stage"]] = {**stage, "peak_bytes": max(stage["peak_bytes"], before["peak_bytes"])}
    if code != 0 or "steady" not in stages:
        raise _death(key, code, err, stages)
    return stages


def _death(key: str, code: int, err: str, stages: Stages) -> HwnasError:
    """What to tell of a process that did not come to its end."""
    last = err.strip().splitlines()[-1] if err.strip() else "no message"
    if code in _ERRORS and not any(word in err for word in NO_MEMORY):
        return _ERRORS[code](f"memory of {key}: {last.removeprefix('error: ')}")
    far = f"after stage {list(stages)[-1]!r}" if stages else "before its first stage"
    known = _peak(stages) if stages else 0
    held = f"{far}; it held {known / 1e6:.0f} MB at most by then"
    if code == _TIMED_OUT:
        return TargetError(f"memory of {key}: not finished in {TIMEOUT_S:.0f} s {held}; leave the model out")
    if code == -signal.SIGKILL or any(word in err for word in NO_MEMORY):
        return TargetError(
            f"memory of {key}: the device is out of memory {held}; "
            "take a smaller model or free memory on the device"
        )
    return TargetError(f"memory of {key}: the process ended with code {code} {held}: {last}")


def _peak(stages: Stages) -> int:
    return int(max(stage["peak_bytes"] for stage in stages.values()))


def _median(values: Any) -> int:
    return int(statistics.median_low(list(values)))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
