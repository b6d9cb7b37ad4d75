"""Does a short search beat what costs nothing, and a fixed network as fast? One row for each task.

    python -m benchmarks.tasks OUT --rows regression sounds --seeds 0 1 2
    python -m benchmarks.tasks OUT --options "--evaluations 8 --eval-epochs 3 --train-epochs 12"

For each row and seed: the default `hwnas search` on the set that comes with the task, of which one pick is
trained to the end, then a fixed network of the same space, of the latency of that pick, by the very trainings
of the pick: same recipe, steps, data and seed. Fixed is a plain network (`NetworkSpace.plain`): one operation
everywhere, an inverted residual of MobileNetV2 (3 x 3, expansion 3 or 6), one depth in all stages, and the
last so many stages at their greater width; of a text, DARTS's published cell. Taken is the one whose latency,
by the run's table, is nearest to that of the pick, and which is not the pick: a search begins with some of
them. Both are measured together after their trainings, so that their ratio holds on a busy machine too.

OUT keeps searches, latency tables (unless --home has them) and `rows.jsonl`, a line for each row and seed;
a second call goes on.
Prints test scores, differences paired by seed, and their mean with a t interval of 95 %.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t

from hwnas.data import eval_batches
from hwnas.data.markov import markov_source
from hwnas.pipeline import networks
from hwnas.pipeline.main_job.candidate import Candidate
from hwnas.pipeline.main_job.run_context import RunContext
from hwnas.pipeline.main_job.training import finalist, read_final, train_finalists
from hwnas.runs.identity import is_run
from hwnas.runs.log import Log
from hwnas.runs.search_run import open_search
from hwnas.training.train import eval_batch, outputs_of
from targets.files import write_atomic

ONE_PICK = (
    *("--picks", "1", "--random-baselines", "0", "--repeats", "0", "--workers", "1"),
    *("--profile-minutes", "10", "--accept-noise", "--ignore-stored"),
)
ROWS: dict[str, tuple[str, ...]] = {
    "regression": ("--task", "regression", "--data", "gauges"),
    "multi-label": ("--task", "multi-label", "--data", "shapes"),
    "segmentation": ("--task", "segmentation", "--data", "shape-masks"),
    "detection": ("--task", "detection", "--data", "shape-boxes"),
    "windows": ("--data", "gestures"),
    "sounds": ("--data", "calls"),
    "language": ("--task", "language", "--data", "markov", "--space", "recurrent"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row and seed: test scores of the task's objective, latencies measured together, CPU seconds.

    metrics: all of the pick and of the fixed network on the test samples, by name.
    """

    row: str
    seed: int
    metric: str
    trivial: float
    fixed: float
    fixed_ms: float
    fixed_arch: str
    pick: float
    pick_ms: float
    pick_arch: str
    predicted_ratio: float
    metrics: dict[str, dict[str, float]]
    search_cpu_s: float
    fixed_cpu_s: float


def searched(out: Path, home: Path, row: str, seed: int, more: Sequence[str]) -> Path:
    """The finished search; one that was stopped goes on. more: options of it."""
    path = out / f"{row}-{seed}"
    command = [sys.executable, "-m", "cli", "search", "--quiet"]
    if is_run(path):
        command += ["--resume", str(path)]
    else:
        command += [
            *ROWS[row],
            *ONE_PICK,
            *more,
            "--seed",
            str(seed),
            "--home",
            str(home),
            "--out",
            str(path),
        ]
    if not (path / "front.json").exists():
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        # 5: a busy machine measured the pick outside the budget. It is compared at its latency all the same.
        if done.returncode not in (0, 5):
            raise subprocess.CalledProcessError(done.returncode, command)
    return path


def chosen_fixed(context: RunContext, pick: Candidate) -> Candidate:
    """Of the latency that is nearest to that of the pick, as predicted."""
    archs = {context.space.key(arch): arch for arch in context.space.plain()}
    archs.pop(str(pick.arch), None)
    costs = dict(zip(archs, context.costs_of(list(archs.values())), strict=True))
    key = min(costs, key=lambda k: abs(math.log(costs[k]["latency_ms"] / pick.predicted["latency_ms"])))
    return Candidate(arch=key, origin="published", predicted=costs[key], measured={})


def compared(path: Path, row: str, seed: int, search_cpu_s: float) -> Result:
    """Train the fixed network as the pick was, and score and measure both."""
    before = _cpu_s()
    with open_search(path, log=Log(quiet=True)) as run:
        context = RunContext(run)
        chosen = context.result("evaluation")["chosen"]
        pick = next(p for p in context.picks if finalist(context, p).arch_id == chosen)
        fixed = chosen_fixed(context, pick)
        candidates = {"pick": pick, "fixed": fixed}
        train_finalists(context, [finalist(context, fixed)], seed)
        data, scores, metrics, files = context.data, {}, {}, {}
        for name, candidate in candidates.items():
            trained = read_final(context, finalist(context, candidate), seed)
            assert trained is not None
            batches = eval_batches(data, "test", eval_batch(data.area))
            outputs = outputs_of(trained.module(), batches, data.task)
            answers = data.task.answers(outputs.kept)
            scores[name] = data.task.score(answers, outputs.labels)
            metrics[name] = data.task.metrics(answers, outputs.labels)
            files[name] = networks.arch_onnx(context.space, context.space.from_string(str(candidate.arch)))
        costs = {name: candidate.predicted for name, candidate in candidates.items()}
        latency_ms = {
            name: row["latency_ms"]["p50_ms"] for name, row in context.measure(files, costs).items()
        }
        words = data.task.trivial(data.labels[data.split("train")], data.labels[data.split("test")])
        return Result(
            row=row,
            seed=seed,
            metric=data.task.metric.label,
            trivial=float(words[1]),
            fixed=scores["fixed"],
            fixed_ms=latency_ms["fixed"],
            fixed_arch=str(fixed.arch),
            pick=scores["pick"],
            pick_ms=latency_ms["pick"],
            pick_arch=str(pick.arch),
            predicted_ratio=fixed.predicted["latency_ms"] / pick.predicted["latency_ms"],
            metrics=metrics,
            search_cpu_s=search_cpu_s,
            fixed_cpu_s=_cpu_s() - before,
        )


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def interval(differences: Sequence[float]) -> str:
    """`+0.012 [-0.003, +0.027]`: the mean, and its t interval where there are two seeds or more."""
    values = np.asarray(differences)
    if len(values) < 2:
        return f"{values.mean():+.3f}"
    half = float(t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return f"{values.mean():+.3f} [{values.mean() - half:+.3f}, {values.mean() + half:+.3f}]"


def table(results: Sequence[Result]) -> Iterator[str]:
    """The rows in Markdown, means over the seeds."""
    yield "| row | trivial | fixed network | pick | latency, fixed / pick | pick - trivial | pick - fixed |"
    yield "|---|---|---|---|---|---|---|"
    for row in dict.fromkeys(result.row for result in results):
        mine = [result for result in results if result.row == row]

        def mean(name: str, mine: Sequence[Result] = mine) -> float:
            return float(np.mean([getattr(result, name) for result in mine]))

        cells = [
            f"{row}, {mine[0].metric}",
            f"{mean('trivial'):.3f}",
            f"{mean('fixed'):.3f}, {mean('fixed_ms'):.3f} ms",
            f"{mean('pick'):.3f}, {mean('pick_ms'):.3f} ms",
            ", ".join(f"{r.fixed_ms / r.pick_ms:.2f}" for r in mine),
            interval([r.pick - r.trivial for r in mine]),
            interval([r.pick - r.fixed for r in mine]),
        ]
        yield "| " + " | ".join(cells) + " |"


def perplexities(results: Sequence[Result]) -> Iterator[str]:
    """Those of texts, beside the least that any model of their source can have."""
    texts = [result.metrics for result in results if result.row == "language"]
    if texts:
        by_name = {name: [f"{each[name]['perplexity']:.3f}" for each in texts] for name in ("pick", "fixed")}
        sides = "; ".join(f"{name} {', '.join(values)}" for name, values in by_name.items())
        yield f"\nPerplexity, language: {sides}; by the source's entropy {markov_source().perplexity():.3f}"


def main() -> None:
    """Do what is not done yet, and print all that is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=[*ROWS, []])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--home", type=Path, help="data home with latency tables (default: in OUT)")
    parser.add_argument("--options", type=shlex.split, default=[], help="more options of `hwnas search`")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "rows.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    for seed in options.seeds:
        for row in options.rows:
            if any((r.row, r.seed) == (row, seed) for r in results):
                continue
            before = _cpu_s()
            path = searched(options.out, options.home or options.out / "home", row, seed, options.options)
            results.append(compared(path, row, seed, _cpu_s() - before))
            write_atomic(file, "".join(json.dumps(asdict(r)) + "\n" for r in results).encode())
            print(results[-1], file=sys.stderr, flush=True)
    results.sort(key=lambda r: (list(ROWS).index(r.row), r.seed))
    print("\n".join([*table(results), *perplexities(results)]))


if __name__ == "__main__":
    main()
