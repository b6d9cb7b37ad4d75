"""The main job for samples that are no images, from data to the export: shapes, words, what the file takes.

The counts are tiny; nothing is replaced by a stand-in but the limit on noise.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from hwnas.data import load_data
from tests.support.main_jobs import LAUNCH, STAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
COUNTS = (
    *("--evaluations", "3", "--population", "2", "--eval-epochs", "1", "--picks", "1"),
    *("--random-baselines", "0", "--train-epochs", "4", "--workers", "1", "--quiet"),
    *("--objective", "val_accuracy", "--objective", "macs", "--budget", "macs<=3000000"),
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gestures")
    (folder / "tiny.toml").write_text(STAGES)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HWNAS_HOME": str(folder / "home"),
    }
    for words in (
        ["search", "--data", "gestures", "--space", "tiny.toml", *COUNTS, "--out", "run"],
        ["export", "run", "--as", "fp32,int8", "--max-drop", "0.3", "--out", "app", "--quiet"],
    ):
        line = [sys.executable, "-c", LAUNCH, *words]
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_file_takes_raw_values_and_scores_what_the_front_says(job: Path) -> None:
    manifest = json.loads((job / "run/models/best/manifest.json").read_text())
    assert (manifest["input_name"], manifest["input_shape"]) == ("window", [1, 6, 1, 96])
    data = load_data("gestures", None, 0, root=job / "home")
    test = data.split("test")
    session = ort.InferenceSession(job / "run/models/best/model.onnx", providers=["CPUExecutionProvider"])
    raw = data.images(test).numpy()
    got = np.concatenate([session.run(None, {"window": row[None]})[0] for row in raw])
    assert (got.argmax(1) == data.labels[test]).mean() == pytest.approx(manifest["test_accuracy"], abs=1e-6)
    front = json.loads((job / "run/front.json").read_text())
    assert front["data"]["kind"] == "window"
    assert manifest["test_accuracy"] > 2 * front["data"]["majority_share_test"]  # it has learned something


def test_the_front_end_stays_in_float(job: Path) -> None:
    graph = onnx.load(job / "app/model.int8.onnx").graph
    writers = {out: node for node in graph.node for out in node.output}
    (first,) = [node for node in graph.node if "window" in node.input]
    assert first.op_type == "Sub" and first.name.startswith("front/")
    assert {writers[name].op_type for name in first.input if name in writers} <= {"Constant"}


def test_texts_speak_of_windows(job: Path) -> None:
    for name in ("run/report.html", "app/README.md", "app/export.html"):
        page = (job / name).read_text(encoding="utf-8")
        shown = re.sub(r"<(script|style|pre|code)\b.*?</\1>|<[^>]*>|`[^`]*`", " ", page, flags=re.DOTALL)
        assert re.findall(r"\b[Ii]mages?\b|\d px\b", shown) == [], name
    assert "windows" in (job / "app/README.md").read_text(encoding="utf-8")


def test_the_program_answers_as_the_golden_pair(job: Path) -> None:
    app = job / "app"
    rows = np.loadtxt(app / "golden/input.csv", delimiter=",", dtype=np.float32)
    assert rows.shape == (96, 6) and rows.tobytes() == (app / "golden/input.raw").read_bytes()
    for words in (["--check"], [str(app / "golden/input.csv")]):
        program = [sys.executable, str(app / "snippets/classify.py"), *words]
        done = subprocess.run(program, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(("good", str(app)))
