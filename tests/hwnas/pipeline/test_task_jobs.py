"""The main job of each further task, from data to the export: files, names and words of the task.

The counts are tiny; nothing is replaced by a stand-in but the limit on noise.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from sklearn.metrics import average_precision_score, jaccard_score, mean_absolute_error, r2_score

from hwnas.data import load_data
from hwnas.pipeline.found_front import Front
from hwnas.tasks.box_decode import decoded
from tests.support.coco import coco
from tests.support.main_jobs import STAGES, Patch, hurry, run_here, stand_in

pytestmark = pytest.mark.slow

COUNTS = (
    *("--image-size", "16", "--evaluations", "3", "--population", "2", "--eval-epochs", "1", "--picks", "1"),
    *("--random-baselines", "0", "--train-epochs", "6", "--workers", "1", "--budget", "latency_ms<=5000"),
    *("--profile-minutes", "3", "--quiet"),
)


@dataclass(frozen=True)
class Case:
    """task, data: of the run. metric: in its names. words: that its page must have, and must not.

    device: measured for one task alone, the last: blocks and heads are priced alike.
    """

    task: str
    data: str
    metric: str
    beside: str
    words: str
    program: str
    device: Callable[[Patch], None] = stand_in


CASES = (
    Case("regression", "gauges", "r2", "mae", "Test R²", "estimate"),
    Case("multi-label", "shapes", "map", "f1", "Test mAP", "tag"),
    Case("segmentation", "shape-masks", "miou", "pixel_acc", "Test mIoU", "segment"),
    Case("detection", "shape-boxes", "map", "map50", "Test mAP50-95", "detect", hurry),
)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.task)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    case: Case = request.param
    folder = tmp_path_factory.mktemp(case.task)
    (folder / "tiny.toml").write_text(STAGES)
    search = f"search --data {case.data} --task {case.task} --space tiny.toml --out run"
    table = run_here(folder, search, *COUNTS, device=case.device).stdout
    assert case.words.replace("Test", "test") in table
    run_here(folder, "export run --as fp32,int8 --max-drop 0.2 --out app --quiet", device=case.device)
    return case, folder


def answers(file: Path, metadata: dict, images: np.ndarray) -> np.ndarray:
    """As an app gets them: from what the file's own manifest says."""
    mean, std = (np.array(metadata[k], np.float32).reshape(1, -1, 1, 1) for k in ("mean", "std"))
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    x = (images.astype(np.float32) * np.float32(metadata["scale"]) - mean) / std
    return np.concatenate([session.run(None, {metadata["input_name"]: row[None]})[0] for row in x])


def test_the_file_scores_what_the_front_says_by_scikit_learn(job: tuple[Case, Path]) -> None:
    case, folder = job
    front = json.loads((folder / "run/front.json").read_text())
    splits = json.loads((folder / "run/splits.json").read_text())
    data = load_data(case.data, 16, 0, root=folder / "home", task=case.task, splits=splits)
    test = data.split("test")
    manifest = json.loads((folder / "run/models/best/manifest.json").read_text())
    got = answers(folder / "run/models/best/model.onnx", manifest, data.images(test).numpy())
    labels = data.labels[test]
    (point,) = [p for p in front["points"] if p["arch_id"] == front["chosen"]]
    measured = point["measured"]
    if case.metric == "r2":
        assert measured["test_r2"] == pytest.approx(max(0, r2_score(labels, got)), abs=1e-6)
        assert measured["test_mae"] == pytest.approx(mean_absolute_error(labels, got), rel=1e-5)
    elif case.metric == "miou":
        expected = jaccard_score(labels.ravel(), got.argmax(1).ravel(), average="macro")
        assert measured["test_miou"] == pytest.approx(expected, abs=1e-6)
    elif case.task == "detection":
        expected = coco(labels, decoded(got), len(data.class_names)).stats
        assert measured["test_map"] == pytest.approx(expected[0], abs=1e-6)
        assert measured["test_map50"] == pytest.approx(expected[1], abs=1e-6)
    else:
        assert measured["test_map"] == pytest.approx(average_precision_score(labels, got), abs=1e-6)
    assert measured[f"test_{case.metric}_low"] <= measured[f"test_{case.metric}"]
    assert front["data"]["trivial_test"] < measured[f"test_{case.metric}_low"]  # it has learned something
    assert (
        manifest["task"] == case.task and manifest[f"test_{case.metric}"] == measured[f"test_{case.metric}"]
    )


def test_names_and_words_are_those_of_the_task(job: tuple[Case, Path]) -> None:
    case, folder = job
    front = json.loads((folder / "run/front.json").read_text())
    assert front["task"] == case.task and front["objectives"][0] == f"val_{case.metric}"
    with (folder / "run/front.csv").open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    wanted = {f"measured_val_{case.metric}", f"measured_test_{case.metric}", f"measured_test_{case.beside}"}
    assert wanted <= set(columns) and not any("accuracy" in name for name in columns)
    assert "accuracy" not in json.dumps([front["points"], front["evaluated"], front["verdict"]])
    assert {"trivial_level", "beats_trivial"} & {finding["code"] for finding in front["verdict"]}
    page = (folder / "run/report.html").read_text(encoding="utf-8")
    assert case.words in page and "Test accuracy" not in page
    best = Front.read(folder / "run").best
    assert best.is_trained and f"test_{case.metric}" in (best.measured or {})


def test_the_export_is_in_the_words_of_the_task_and_its_program_answers(job: tuple[Case, Path]) -> None:
    case, folder = job
    app = folder / "app"
    card = (app / "README.md").read_text(encoding="utf-8")
    assert "accuracy" not in card and "classif" not in card
    manifest = json.loads((app / "manifest.json").read_text())
    assert manifest["task"] == case.task and f"test_{case.metric}" in manifest["variants"][0]
    masks = case.metric == "miou"
    assert (app / "golden/mask.png").exists() == masks == ("pixel_agreement" in manifest["variants"][0])
    for words in (["--check"], [str(app / "golden/input.png")]):
        program = [sys.executable, str(app / f"snippets/{case.program}.py"), *words]
        done = subprocess.run(program, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(("good", str(app)))
