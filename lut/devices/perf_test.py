"""onnxruntime_perf_test, the timing program of onnxruntime: the options it is called with, and its answer.

Options and output: onnxruntime/test/perftest (command_args_parser.cc, performance_runner.cc). Every option is
spelt out, because the defaults are not the library's: 600 seconds, and in older versions graph level 1.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from targets import Target
from targets.errors import DamagedFileError

_LEVELS = {"disable": "0", "basic": "1", "extended": "2", "layout": "3", "all": "99"}
_NUMBER = r"([0-9.]+(?:e[+-]?[0-9]+)?)"
_FIELDS = {
    "load_s": rf"^Session creation time cost: {_NUMBER} s",
    "first_run_ms": rf"^First inference time cost: {_NUMBER} ms",
    "peak_bytes": r"^Peak working set size: ?([0-9]+)",
}

HOW_TO_GET = (
    "It is part of onnxruntime's source and of no package: build it with `./build.sh --android --android_abi "
    "arm64-v8a --android_api 29 --android_sdk_path SDK --android_ndk_path NDK --config Release "
    "--build_shared_lib --parallel`, copy onnxruntime_perf_test and libonnxruntime.so into one folder of the "
    "device with `adb push` (a folder below /data/local/tmp), make it executable with `adb shell chmod +x`, "
    "and set reach.runner to its path"
)


@dataclass(frozen=True)
class PerfTestResult:
    """What one call measured.

    times_ms: each run.
    load_ms, first_run_ms, peak_bytes: None where this version does not report them.
    """

    times_ms: tuple[float, ...]
    load_ms: float | None
    first_run_ms: float | None
    peak_bytes: int | None


def arguments(target: Target, model: str, result: str, *, n_runs: int, seed: int) -> list[str]:
    """The command line for `n_runs` runs on random inputs, after one run that warms up."""
    options = {
        "-S": str(seed),
        "-m": "times",
        "-r": str(n_runs),
        "-e": target.provider,
        "-x": str(target.threads),
        "-y": "1",
        "-c": "1",
        "-o": _LEVELS[target.graph_level],
    }
    no_spinning = [] if target.spinning else ["-D"]
    return ["-I", *itertools.chain.from_iterable(options.items()), *no_spinning, "-s", model, result]


def parse(stdout: str, result: str, key: str, n_runs: int) -> PerfTestResult:
    """The result of a call from its output and its result file; DamagedFileError names `key`.

    The result file has a line `folder,seconds,peak bytes,CPU percent,number` per run, then statistics.
    """
    rows = [line.split(",") for line in result.splitlines() if line.count(",") == 4]
    try:
        times_ms = tuple(1e3 * float(row[1]) for row in rows)
    except ValueError:
        times_ms = ()
    if len(times_ms) != n_runs or not all(0 < t < math.inf for t in times_ms):
        raise DamagedFileError(
            f"onnxruntime_perf_test on {key}: {len(times_ms)} of {n_runs} times in its result file; is it "
            "the program that this version of hwnas knows (its result file has five columns)?"
        )
    matches = {name: re.search(pattern, stdout, re.MULTILINE) for name, pattern in _FIELDS.items()}
    values = {name: float(match.group(1)) if match else None for name, match in matches.items()}
    load_s, peak = values["load_s"], values["peak_bytes"]
    return PerfTestResult(
        times_ms=times_ms,
        load_ms=1e3 * load_s if load_s is not None else None,
        first_run_ms=values["first_run_ms"],
        peak_bytes=int(peak) if peak is not None else None,
    )


def explain(stderr: str, code: int) -> str:
    """The last line of standard error of a call that failed."""
    lines: Sequence[str] = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"it ended with code {code} and said nothing"
