"""The main job of two tasks at once, from data to the export: one file with an output for each head."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from sklearn.metrics import accuracy_score, r2_score

from hwnas.data import load_data
from hwnas.pipeline.main_job import RunContext, repeats
from hwnas.runs.log import Log
from hwnas.runs.search_run import open_search
from hwnas.training.training_job import Trained, TrainingJob, read_result, run_job
from tests.support.main_jobs import STAGES, run_here

pytestmark = pytest.mark.slow

TASK = "classification:digit+regression:tilt"
COUNTS = (
    *("--image-size", "16", "--evaluations", "3", "--population", "2", "--eval-epochs", "1", "--picks", "1"),
    *("--random-baselines", "0", "--train-epochs", "3", "--workers", "1", "--repeats", "2", "--quiet"),
    *("--objective", "val_meanscore", "--objective", "macs", "--budget", "macs<=3000000"),
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    (folder / "tiny.toml").write_text(STAGES)
    run_here(folder, f"search --data tilted --task {TASK} --space tiny.toml --out run", *COUNTS)
    run_here(folder, "export run --as fp32,int8 --max-drop 0.3 --out app --quiet")
    return folder


def test_the_file_has_an_output_per_head_and_scores_what_the_front_says(job: Path) -> None:
    front = json.loads((job / "run/front.json").read_text())
    splits = json.loads((job / "run/splits.json").read_text())
    manifest = json.loads((job / "run/models/best/manifest.json").read_text())
    data = load_data("tilted", 16, 0, root=job / "home", task=TASK, splits=splits)
    session = ort.InferenceSession(job / "run/models/best/model.onnx", providers=["CPUExecutionProvider"])
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("digit", [1, 10]), ("tilt", [1, 1])]
    assert manifest["heads"] == {"digit": list("0123456789"), "tilt": ["tilt"]}
    mean, std = (np.array(manifest[k], np.float32).reshape(1, -1, 1, 1) for k in ("mean", "std"))
    test = data.split("test")
    x = (data.images(test).numpy().astype(np.float32) / 255 - mean) / std
    rows = [session.run(["digit", "tilt"], {"image": row[None]}) for row in x]
    digit, tilt = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
    accuracy = accuracy_score(data.labels[test, 0], digit.argmax(1))
    r2 = max(0.0, r2_score(data.labels[test, 1], tilt[:, 0]))
    (point,) = [p for p in front["points"] if p["arch_id"] == front["chosen"]]
    measured = point["measured"]
    assert measured["test_digit.accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert measured["test_meanscore"] == pytest.approx((accuracy + r2) / 2, abs=1e-6)
    assert front["data"]["trivial_test"] < measured["test_meanscore_low"]  # it has learned something
    assert manifest["check"]["max_difference"] <= manifest["check"]["allowed"]  # torch's outputs


def test_names_words_and_repeats_are_those_of_the_task(job: Path) -> None:
    front = json.loads((job / "run/front.json").read_text())
    assert front["task"] == TASK and front["objectives"][0] == "val_meanscore"
    with (job / "run/front.csv").open(encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["arch_id"] == front["chosen"]]
    assert {"measured_val_meanscore", "measured_test_digit.accuracy", "measured_test_tilt.mae"} <= set(row)
    repeats = front["repeats"]
    assert repeats["k"] == 2 and float(row["measured_repeated_meanscore"]) == pytest.approx(
        np.mean(repeats["scores"])
    )
    assert repeats["low"] <= repeats["mean"] <= repeats["high"]
    assert "repeated_splits" in {finding["code"] for finding in front["verdict"]}
    page = (job / "run/report.html").read_text(encoding="utf-8")
    assert "Test mean score of the heads" in page and "Test accuracy" not in page and "over 2 splits" in page


def test_repeats_that_are_stopped_go_on_as_if_they_were_not(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the third of four trainings; then only the fourth is made."""
    run, trained = tmp_path / "run", list[str]()
    shutil.copytree(job / "run", run, symlinks=True)
    whole = json.loads((run / "stages/repeats.json").read_text())["result"]
    for stage in ("repeats", "report", "export"):
        (run / "stages" / f"{stage}.json").unlink()
    shutil.rmtree(run / repeats.FOLDER)

    def here(jobs: Sequence[TrainingJob], folder: Path, *_: Any, **__: Any) -> list[Trained]:
        for training in jobs:
            if read_result(training, folder) is None:
                run_job(training, folder)
                trained.append(training.job_id)
                if len(trained) == 3:
                    raise KeyboardInterrupt
        return [done for training in jobs if (done := read_result(training, folder)) is not None]

    monkeypatch.chdir(job)
    monkeypatch.setenv("HWNAS_HOME", str(job / "home"))
    monkeypatch.setattr(repeats, "run_many", here)
    with open_search(run, log=Log(quiet=True)) as opened:
        with pytest.raises(KeyboardInterrupt):
            repeats.repeat_chosen(RunContext(opened))
        assert repeats.repeat_chosen(RunContext(opened)).result == whole
    assert len(trained) == len(set(trained)) == 4


def test_the_export_names_the_heads_and_its_program_answers(job: Path) -> None:
    app = job / "app"
    card, manifest = (
        (app / "README.md").read_text(encoding="utf-8"),
        json.loads((app / "manifest.json").read_text()),
    )
    assert "output `digit`: 0, 1" in card and "Trained anew on 2 other splits" in card
    assert manifest["input"]["heads"] == {"digit": list("0123456789"), "tilt": ["tilt"]}
    assert {variant["name"] for variant in manifest["variants"]} >= {"fp32"}
    program = [sys.executable, str(app / "snippets/answer.py")]
    checked = subprocess.run([*program, "--check"], capture_output=True, text=True, check=True)
    assert checked.stdout.startswith("good")
    told = subprocess.run(
        [*program, str(app / "golden/input.png")], capture_output=True, text=True, check=True
    )
    golden = json.loads((app / "golden/expected.json").read_text())["heads"]
    assert f"digit: {golden['digit']['class']}; tilt: tilt " in told.stdout
