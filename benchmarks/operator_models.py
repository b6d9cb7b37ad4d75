"""`hwnas predict` of the models of single operators that come with the package `onnx`: what is priced?

    python -m benchmarks.operator_models [--home DIR] [--target host] [--every N] [--by-command N]

The models are the node tests of `onnx.backend.test` and the model files beside them. All go through the
function behind `hwnas predict`, in one process, and --by-command of them through the command itself. Counted
are models with a price, models refused by one clear error, tracebacks, hangs, and how often an operator
without a count of its work is named. Needs a stored predictor (`hwnas profile`).
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hwnas.commands.documents.predict import predict_models
from hwnas.runs.log import Log
from lut.home import data_home
from lut.predictor.models.model_file import read_model
from targets import load_target
from targets.errors import HwnasError

HANG_S = 100.0
"""A network may take 90 s to load and run once before it is refused; longer than this is a hang."""

PRICED_PCT = 90.0


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


def main() -> int:
    """Predict and count; exit code 1 where a model broke it or too few have a price."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", help="folder of the predictor; default as for hwnas")
    parser.add_argument("--target", default="host")
    parser.add_argument("--every", type=int, default=1, help="take every Nth model only")
    parser.add_argument("--by-command", type=int, default=20, help="models that go through the command too")
    parser.add_argument("--models", type=Path, help="folder where the models stay for the next time")
    parser.add_argument("--json", type=Path, help="write what became of each model")
    options = parser.parse_args()
    home, outcomes = data_home(options.home), Outcomes()
    with tempfile.TemporaryDirectory(prefix="hwnas-operators-") as folder:
        paths = write_models(options.models or Path(folder))[:: options.every]
        outcomes.predict(paths, options.target, home, Log())
        step = max(len(paths) // max(options.by_command, 1), 1)
        codes = by_command(paths[::step][: options.by_command], options.target, home)
    if options.json:
        options.json.write_text(json.dumps(vars(outcomes), indent=1, allow_nan=False))
    return report(outcomes, len(paths), codes)


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
