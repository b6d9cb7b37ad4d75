"""`hwnas predict` of the models of single operators that come with the package `onnx`: what is priced?

    python -m benchmarks.operator_models [--home DIR] [--target host] [--every N] [--by-command N] [--measure]

The models are the node tests of `onnx.backend.test` and the model files beside them. All go through the
function behind `hwnas predict`, in one process, and --by-command of them through the command itself. Counted
are models with a price, models refused by one clear error, tracebacks, hangs, and how often an operator
without a count of its work is named. With --measure those with a price are measured too, and counted is how
many of those that take over 5 µs lie in the interval of their prediction. Needs a stored predictor
(`hwnas profile`).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from hwnas.commands.documents.model_files import without_failures
from hwnas.commands.documents.predict import predict_models
from hwnas.runs.log import Log
from lut.devices.device import run_job
from lut.devices.measurement import ReferenceSpeed
from lut.home import data_home
from lut.predictor.models.model_file import read_model
from profilers import Timing
from targets import load_target
from targets.errors import HwnasError

HANG_S = 100.0
"""A network may take 90 s to load and run once before it is refused; longer than this is a hang."""

PRICED_PCT, COVERED_PCT = 90.0, 88.0
"""Shares of the models that must have a price, and of the measured ones that must lie in their interval."""

JUDGED_US = 5.0
"""Models that take longer are judged: below, a run is little but its overhead."""

_GROUP, _GROUP_S = 200, 120.0


def write_models(folder: Path) -> list[Path]:
    """The models as files in the folder, those that are there already as they are."""
    written = folder / "written.json"
    if not written.exists():
        import onnx.backend.test
        from onnx.backend.test.case.node import collect_testcases

        root = Path(onnx.backend.test.__file__).parent / "data"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the reference implementation that makes the tests' outputs
            cases = collect_testcases(None)
        files = {
            f"node/{case.name}-{i}.onnx": case.model.SerializeToString()
            for i, case in enumerate(cases)
            if case.model is not None
        }
        for path in sorted(root.rglob("*.onnx")):
            files["-".join(path.relative_to(root).with_suffix("").parts) + ".onnx"] = path.read_bytes()
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        written.write_text(json.dumps(sorted(files)))
    return [folder / name for name in json.loads(written.read_text())]


class Outcomes:
    """What became of each model."""

    def __init__(self) -> None:
        self.priced: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, str] = {}
        self.tracebacks: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.measured: dict[str, float] = {}

    def predict(self, paths: Sequence[Path], target: str, home: Path, log: Log) -> None:
        """All of them by the function behind the command; it begins anew after a model that breaks it."""
        left = list(paths)
        while left:
            files = _Files(left, self.seconds)
            try:
                with log.progress("operator models", len(left)) as bar:
                    (answer,) = predict_models(
                        [load_target(target)],
                        files,
                        home=home,
                        kernels_from="auto",
                        measure=False,
                        log=log,
                        advance=bar.advance,
                    )
            except Exception:  # what this benchmark looks for
                self.tracebacks[files.name] = traceback.format_exc()
                left = left[: files.n_read - 1] + left[files.n_read :]
                continue
            self.priced = {name: _checked(name, model) for name, model in answer["models"].items()}
            self.refused = {name: failure["error"] for name, failure in answer["failed"].items()}
            return

    @property
    def hangs(self) -> dict[str, float]:
        """Seconds by name."""
        return {name: seconds for name, seconds in self.seconds.items() if seconds > HANG_S}


class _Files:
    """The models one after the other, with the time that each took to be read and priced."""

    def __init__(self, paths: Sequence[Path], seconds: dict[str, float]) -> None:
        self._paths, self._seconds = paths, seconds
        self.name, self.n_read = "", 0

    def __iter__(self) -> Iterator[tuple[str, bytes | HwnasError]]:
        for path in self._paths:
            self.name, began = path.name, time.perf_counter()
            self.n_read += 1
            try:
                data: bytes | HwnasError = read_model(path)
            except HwnasError as error:
                data = error
            yield path.name, data
            self._seconds[path.name] = time.perf_counter() - began


def _checked(name: str, model: dict[str, Any]) -> dict[str, Any]:
    """The prediction; ValueError for one that is none."""
    low, middle, high = model["low_ms"], model["latency_ms"], model["high_ms"]
    if not (0 < low <= middle <= high and math.isfinite(high) and model["macs"] >= 0):
        raise ValueError(f"{name}: {low} {middle} {high} ms, {model['macs']} MACs")
    return model


def by_command(paths: Sequence[Path], target: str, home: Path) -> Counter[int]:
    """Number of models by the exit code of the command `hwnas predict`."""
    codes: Counter[int] = Counter()
    for path in paths:
        command = [sys.executable, "-m", "cli", "predict", str(path), "--target", target]
        done = subprocess.run([*command, "--home", str(home)], capture_output=True, text=True, check=False)
        codes[done.returncode] += 1
        if done.returncode == 1 or "Traceback" in done.stderr:
            print(path.name, done.stderr, file=sys.stderr)
    return codes


def measured_ms(paths: Sequence[Path], target: str, home: Path, log: Log) -> dict[str, float]:
    """Latencies by name, each over two sessions; models that the target cannot measure are left out."""
    device = load_target(target)
    speed, failed = ReferenceSpeed(home, device), dict[str, HwnasError]()
    timing = Timing(_GROUP_S, min_rounds=10, max_rounds=10, passes=2, together=50)
    found: dict[str, float] = {}
    with log.progress("measured", len(paths)) as bar:
        for i in range(0, len(paths), _GROUP):
            group = {path.name: read_model(path) for path in paths[i : i + _GROUP]}
            rows = without_failures(group, lambda of: run_job(device, of, timing, log), failed)
            found |= {name: speed.normalise(row).p50_ms for name, row in rows.items()}
            bar.advance(len(group))
    for name, error in failed.items():
        print(f"not measured: {name}: {error}", file=sys.stderr)
    return found


def coverage(priced: Mapping[str, Mapping[str, Any]], measured: Mapping[str, float]) -> list[str]:
    """The models over JUDGED_US that lie outside of their interval, the farthest first."""
    outside = {}
    for name in judged(measured):
        low, high = priced[name]["low_ms"], priced[name]["high_ms"]
        if not low <= measured[name] <= high:
            outside[name] = max(low / measured[name], measured[name] / high)
    return sorted(outside, key=lambda name: -outside[name])


def judged(measured: Mapping[str, float]) -> list[str]:
    """Names of the models that take over JUDGED_US."""
    return [name for name, ms in measured.items() if 1e3 * ms > JUDGED_US]


def main() -> int:
    """Predict and count; exit code 1 where a model broke it, or too few have a price or a true interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", help="folder of the predictor; default as for hwnas")
    parser.add_argument("--target", default="host")
    parser.add_argument("--every", type=int, default=1, help="take every Nth model only")
    parser.add_argument("--by-command", type=int, default=20, help="models that go through the command too")
    parser.add_argument("--models", type=Path, help="folder where the models stay for the next time")
    parser.add_argument("--measure", action="store_true", help="how many intervals hold, in some minutes")
    parser.add_argument("--json", type=Path, help="write what became of each model")
    options = parser.parse_args()
    home, outcomes = data_home(options.home), Outcomes()
    with tempfile.TemporaryDirectory(prefix="hwnas-operators-") as folder:
        paths = write_models(options.models or Path(folder))[:: options.every]
        outcomes.predict(paths, options.target, home, Log())
        step = max(len(paths) // max(options.by_command, 1), 1)
        codes = by_command(paths[::step][: options.by_command], options.target, home)
        if options.measure:
            known = [path for path in paths if path.name in outcomes.priced]
            outcomes.measured = measured_ms(known, options.target, home, Log())
    if options.json:
        options.json.write_text(json.dumps(vars(outcomes), indent=1, allow_nan=False))
    return report(outcomes, len(paths), codes) | intervals(outcomes.priced, outcomes.measured)


def intervals(priced: Mapping[str, Mapping[str, Any]], measured: Mapping[str, float]) -> int:
    """Print how many intervals hold; returns the exit code."""
    names, outside = judged(measured), coverage(priced, measured)
    if not names:
        return 0
    held_pct = 100 * (1 - len(outside) / len(names))
    wide = [priced[name]["high_ms"] / priced[name]["low_ms"] for name in names]
    off = [abs(math.log(priced[name]["latency_ms"] / measured[name])) for name in names]
    print(
        f"{len(measured)} measured, {len(names)} of them take over {JUDGED_US:g} µs: {held_pct:.1f} % in "
        f"their interval (high / low {median(wide):.2f} in the median); median factor "
        f"{math.exp(median(off)):.2f}"
    )
    for name in outside:
        model = priced[name]
        print(
            f"outside {name}: {1e3 * measured[name]:.1f} µs, {1e3 * model['latency_ms']:.1f} "
            f"({1e3 * model['low_ms']:.1f} to {1e3 * model['high_ms']:.1f}) predicted"
        )
    return int(held_pct < COVERED_PCT)


def report(outcomes: Outcomes, n_models: int, codes: Counter[int]) -> int:
    """Print the counts; returns the exit code."""
    share_pct = 100 * len(outcomes.priced) / n_models
    uncounted = Counter(op for model in outcomes.priced.values() for op in model["not_counted"])
    flagged = sum(bool(model["unknown"] or model["few"]) for model in outcomes.priced.values())
    print(f"{n_models} models: {len(outcomes.priced)} priced ({share_pct:.1f} %), {flagged} of them flagged")
    print(
        f"{len(outcomes.refused)} refused, {len(outcomes.tracebacks)} tracebacks, {len(outcomes.hangs)} hangs"
    )
    slowest = max(outcomes.seconds, key=lambda name: outcomes.seconds[name])
    print(f"slowest: {slowest}, {outcomes.seconds[slowest]:.1f} s; exit codes of the command: {dict(codes)}")
    print(f"work not counted: {dict(uncounted.most_common())}")
    for name, text in outcomes.refused.items():
        print(f"refused {name}: {text}")
    for name, text in outcomes.tracebacks.items():
        print(f"traceback {name}: {text}")
    broken = outcomes.tracebacks or outcomes.hangs or codes[1]
    return int(bool(broken) or share_pct < PRICED_PCT)


if __name__ == "__main__":
    sys.exit(main())
