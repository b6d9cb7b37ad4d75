"""The resumable run of gradient searches: rows that survive a kill, images, tables, real searches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.gradient_search import budgets, cells, nasbench
from benchmarks.gradient_search.jobs import Job, Rows, run_jobs
from benchmarks.gradient_search.report import report
from benchmarks.gradient_search.subset import Subset
from targets.errors import DamagedFileError, HwnasError, UsageError
from tests.support.logs import silent

ROOT = Path(__file__).parents[2]


def job(name, done, identity=None, after=()):
    def run(rows):
        done.append(name)
        return {"value": len(done)}

    return Job(name, identity or {}, run, after=after)


def test_rows_are_read_back_and_the_last_of_a_job_counts(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "new" / "rows.jsonl")
    for value in (1, 2):
        rows.append({"job": "a/x/0", "value": value})
    rows.append({"job": "b/x", "value": 3})
    again = Rows(rows.path)
    assert again["a/x/0"]["value"] == 2
    assert [r["job"] for r in again.of("")] == ["a/x/0", "b/x"]
    assert again.of("a/") == [{"job": "a/x/0", "value": 2}]


@pytest.mark.parametrize("torn_bytes", [1, 7, 20])
def test_a_torn_last_line_is_a_job_not_done_and_is_cut_off(tmp_path: Path, torn_bytes: int) -> None:
    path = tmp_path / "rows.jsonl"
    rows = Rows(path)
    rows.append({"job": "one", "value": 1})
    whole = path.read_bytes()
    rows.append({"job": "two", "value": 22})
    path.write_bytes(path.read_bytes()[:-torn_bytes])
    again = Rows(path)
    assert "one" in again and "two" not in again
    again.append({"job": "three", "value": 3})
    assert path.read_bytes() == whole + b'{"job": "three", "value": 3}\n'


def test_a_damaged_line_before_the_last_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"job": "one"}\n{"jo\n{"job": "two"}\n')
    with pytest.raises(DamagedFileError, match="line 2"):
        Rows(path)


def test_a_number_that_is_none_is_no_row(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        rows.append({"job": "one", "value": float("nan")})
    assert not rows.path.exists()


def test_jobs_are_done_once_in_order_with_time_left(tmp_path: Path) -> None:
    done: list[str] = []
    said: list[str] = []
    jobs = [job(name, done) for name in ("one", "two", "three")]
    run_jobs(jobs[:2], Rows(tmp_path / "rows.jsonl"), silent)
    run_jobs(jobs, Rows(tmp_path / "rows.jsonl"), said.append)
    assert done == ["one", "two", "three"]
    assert said[0] == "2 of 3 jobs are done"
    assert said[1].startswith("3/3 three: ") and said[1].endswith("0s left")
    row = Rows(tmp_path / "rows.jsonl")["three"]
    assert row["value"] == 3 and row["cpu_s"] >= 0 and row["date"].endswith("+00:00")


def test_other_sizes_under_the_same_name_are_refused(tmp_path: Path) -> None:
    done: list[str] = []
    run_jobs([job("one", done, {"steps": 4, "cells": (1, 2)})], Rows(tmp_path / "rows.jsonl"), silent)
    run_jobs([job("one", done, {"steps": 4, "cells": (1, 2)})], Rows(tmp_path / "rows.jsonl"), silent)
    with pytest.raises(UsageError, match=r"one with other sizes \(steps\)"):
        run_jobs([job("one", done, {"steps": 5, "cells": (1, 2)})], Rows(tmp_path / "rows.jsonl"), silent)
    assert done == ["one"]


def test_a_failed_job_says_why_is_tried_again_and_holds_up_what_needs_it(tmp_path: Path) -> None:
    done: list[str] = []

    def fail(rows: Rows):
        raise HwnasError("the loss is nan")

    after = job("two", done, after=("one",))
    run_jobs([Job("one", {}, fail), after], Rows(tmp_path / "rows.jsonl"), silent)
    assert done == []
    assert report(Rows(tmp_path / "rows.jsonl")) == "- `one`: the loss is nan"
    run_jobs([job("one", done), after], Rows(tmp_path / "rows.jsonl"), silent)
    assert done == ["one", "two"]
    assert "failure" not in Rows(tmp_path / "rows.jsonl")["one"]


KILLED = """
import os, signal, sys
from pathlib import Path
from benchmarks.gradient_search.jobs import Job, Rows, run_jobs

def run(name, rows):
    with Path("ran").open("a") as file:
        file.write(name)
    if name == "b" and not Path("again").exists():
        Path("again").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {}

run_jobs([Job(n, {}, lambda rows, n=n: run(n, rows)) for n in "abc"], Rows(Path("rows.jsonl")), print)
"""


def test_a_kill_loses_the_running_job_alone(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED]
    runs = [subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True) for _ in range(2)]
    codes = [run.returncode for run in runs]
    assert codes == [-signal.SIGKILL, 0]
    assert (tmp_path / "ran").read_text() == "abbc"
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["job"] for line in lines] == ["a", "b", "c"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Ten classes of random images of 16 pixels: 8 to train, 2 to test."""
    rng = np.random.default_rng(0)
    for label, (split, n) in product("0123456789", (("train", 8), ("test", 2))):
        folder = tmp_path / "images" / split / f"class{label}"
        folder.mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}{i}.png")
    return tmp_path / "images"


def names(folder: Path, split: str) -> set[str]:
    return {f"{p.parent.name}/{p.name}" for p in (folder / split).rglob("*.png")}


def test_a_subset_has_its_classes_and_halves_without_a_common_image(source: Path, tmp_path: Path) -> None:
    folder = Subset((5, 10), (0, 3), (3, 6), 2).folder(source, tmp_path / "out")
    train, val, test = (names(folder, split) for split in ("train", "val", "test"))
    assert [len(train), len(val), len(test)] == [15, 15, 10]
    assert {name.split("/")[0] for name in train | val | test} == {f"class{n}" for n in range(5, 10)}
    assert not train & val
    whole = Subset((5, 10), (0, 6), (6, 7), 2).folder(source, tmp_path / "out")
    assert names(whole, "train") == train | val
    made = (folder / "subset.json").stat().st_mtime_ns
    assert Subset((5, 10), (0, 3), (3, 6), 2).folder(source, tmp_path / "out") == folder
    assert (folder / "subset.json").stat().st_mtime_ns == made
    with pytest.raises(UsageError, match="class5 has 8 images for train, 9 are asked for"):
        Subset((5, 10), (0, 9), (0, 0), 2).folder(source, tmp_path / "out")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All architectures; the accuracy is ten times the number of 3x3 convolutions, plus one with any skip."""
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    lines = ["arch_str," + ",".join(f"{d}_{s}200" for d in ("c10", "c100", "in16") for s in ("val", "test"))]
    for ops in product(operations, repeat=6):
        value = 10 * ops.count("nor_conv_3x3") + ("skip_connect" in ops)
        a, b, c, d, e, f = ops
        lines.append(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|" + f",{value}" * 6)
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


TINY = nasbench.Sizes(per_class=4, channels=8, batch=8, steps=3, random=2, epochs=1)


@pytest.mark.slow
def test_a_search_ends_in_a_row_of_the_table(source: Path, table: Path, tmp_path: Path) -> None:
    part, rows = nasbench.NasbenchJobs(TINY, source, table, tmp_path), Rows(tmp_path / "rows.jsonl")
    wanted = ("a/table", "a/darts/0", "a/random-trained/0")
    jobs = {j.name: j for j in part.jobs(seeds=1)}
    assert len(jobs) == 1 + 8 + 2
    run_jobs([jobs[name] for name in wanted], rows, silent)
    found, reference = rows["a/darts/0"], rows["a/table"]
    assert found["c10_test"] == 10 * found["genotype"].count("nor_conv_3x3") + ("skip" in found["genotype"])
    assert found["skips"] == found["genotype"].count("skip_connect")
    # One sixth of a mean count of 6/5, and of architectures without a skip (4/5)^6, by hand.
    assert reference["every"]["c10"][0] == pytest.approx(10 * 6 / 5 + 1 - 0.8**6)
    assert reference["best"]["c10"] == 60
    assert reference["most_params"]["genotype"].count("nor_conv_3x3") == 6
    assert reference["most_params"]["rank"] == 1
    assert reference["all_skip"]["c10_test"] == 1
    text = report(rows)
    assert f"| `darts` | 1 | {found['c10_test']:.2f} |" in text
    assert "| optimum of each data set |  | 60.00 | 60.00 | 60.00 |" in text


@pytest.mark.slow
def test_cells_are_searched_once_and_trained_on_both_halves(source: Path, tmp_path: Path) -> None:
    sizes = cells.Sizes(per_class=3, search_cells=3, search_channels=4, batch=6, steps=1, cells=3, channels=4)
    part = cells.CellJobs(replace(sizes, epochs=1, random=1, val=1, test=2), source, tmp_path)
    jobs, rows = {j.name: j for j in part.jobs("bc")}, Rows(tmp_path / "rows.jsonl")
    assert len(jobs) == 5 + 2 * (5 + 1)
    wanted = ("search/proxyless", "b/proxyless", "c/proxyless", "b/random-0", "c/random-0")
    run_jobs([jobs[name] for name in wanted], rows, silent)
    assert rows["b/proxyless"]["arch"] == rows["c/proxyless"]["arch"] == rows["search/proxyless"]["arch"]
    assert rows["b/random-0"]["arch"] == rows["c/random-0"]["arch"] != rows["b/proxyless"]["arch"]
    assert part.whole("b").class_names == ("class0", "class1", "class2", "class3", "class4")
    assert part.whole("c").class_names == ("class5", "class6", "class7", "class8", "class9")
    assert len(part.whole("b").split("train")) == 30 and len(part.halves.split("train")) == 15


def seeded(job: str, c10: float, skips: int, cpu_s: float, rank: int):
    truth = {"c10_test": c10, "c100_test": 70.0, "in16_test": 40.0, "rank": rank}
    return {"job": job, **truth, "skips": skips, "cpu_s": cpu_s}


def test_the_report_of_hand_made_rows(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    assert "no rows yet" in report(rows)
    for row in (
        seeded("a/darts/0", 90.0, 6, 50, 9000),
        seeded("a/darts/1", 92.0, 2, 60, 400),
        seeded("a/enas/0", 88.5, 1, 10, 11000),
        {"job": "search/darts", "cpu_s": 99.6},
        {"job": "b/darts", "skips": 4, "params": 123_456.0, "macs": 7.89e6, "test_accuracy": 0.7511},
        {"job": "d/tight", "budget_ms": 0.1, "chosen": "p1", "models": MODELS},
    ):
        rows.append(row)
    text = report(rows)
    # 90 and 92: mean 91, standard deviation with n - 1 the root of 2.
    assert "| `darts` | 2 | 91.00 ± 1.41 | 70.00 ± 0.00 | 40.00 ± 0.00 | 9,000, 400 | 6 (all), 2 |" in text
    assert "| `enas` | 1 | 88.50 | 70.00 | 40.00 | 11,000 | 1 | 10 |" in text
    assert "| `darts` | 4 | 123 | 7.9 | 75.1 % |  | 100 |" in text
    assert "| tight | 0.1 | 0.09 | 0.095 | yes | 61.0 % | 60.0 % | 55.0 % (2) | 1 of 2 |" in text


def model(arch_id: str, origin: str, pick: str | None, high_ms: float, test: float):
    measured = {"latency_p50_ms": 0.09, "latency_ci_high_ms": high_ms, "test_accuracy": test}
    return {"arch_id": arch_id, "origin": origin, "pick": pick, **measured}


MODELS = [
    model("p1", "front", "knee", 0.095, 0.61),
    model("p2", "front", "accurate", 0.102, 0.62),
    model("r1", "random", None, 0.09, 0.60),
    model("r2", "random", None, 0.09, 0.50),
]


def test_the_budgets_come_before_the_searches_in_them(tmp_path: Path) -> None:
    jobs = budgets.BudgetJobs(budgets.Sizes(), tmp_path, "host", tmp_path).jobs()
    assert [j.name for j in jobs] == ["budgets", "d/tight", "d/middle", "d/loose"]
    assert all(j.after == ("budgets",) for j in jobs[1:])
