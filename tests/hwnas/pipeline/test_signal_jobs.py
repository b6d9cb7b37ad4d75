"""The main job for samples that are no images, from data to the export: shapes, words, what the file takes.

The counts are tiny; nothing is replaced by a stand-in but the limit on noise.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from scipy.io import wavfile

from hwnas.data import load_data
from tests.support import cpp
from tests.support.main_jobs import STAGES, hurry, run_here

pytestmark = pytest.mark.slow

COUNTS = (
    *("--evaluations", "3", "--population", "2", "--eval-epochs", "1", "--picks", "1"),
    *("--random-baselines", "0", "--train-epochs", "4", "--workers", "1", "--quiet"),
    *("--objective", "val_accuracy", "--objective", "macs", "--budget", "macs<=3000000"),
)


@dataclass(frozen=True)
class Case:
    """data: of the run. kind, input_name, shape: of samples and files. first: what reads them."""

    data: str
    kind: str
    input_name: str
    shape: tuple[int, ...]
    first: str


CASES = (
    Case("gestures", "window", "window", (1, 6, 1, 96), "Sub"),
    Case("calls", "sound", "waveform", (1, 1, 1, 4000), "Conv"),
)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.data)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def job(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(case.data)
    (folder / "tiny.toml").write_text(STAGES)
    run_here(folder, f"search --data {case.data} --space tiny.toml --out run", *COUNTS, device=hurry)
    run_here(folder, "export run --as fp32,int8 --max-drop 0.3 --out app --quiet", device=hurry)
    return folder


def test_the_file_takes_raw_values_and_scores_what_the_front_says(case: Case, job: Path) -> None:
    manifest = json.loads((job / "run/models/best/manifest.json").read_text())
    assert (manifest["input_name"], tuple(manifest["input_shape"])) == (case.input_name, case.shape)
    data = load_data(case.data, None, 0, root=job / "home")
    test = data.split("test")
    session = ort.InferenceSession(job / "run/models/best/model.onnx", providers=["CPUExecutionProvider"])
    raw = data.inputs(test).numpy()
    got = np.concatenate([session.run(None, {case.input_name: row[None]})[0] for row in raw])
    assert (got.argmax(1) == data.labels[test]).mean() == pytest.approx(manifest["test_accuracy"], abs=1e-6)
    front = json.loads((job / "run/front.json").read_text())
    assert front["data"]["kind"] == case.kind
    assert manifest["test_accuracy"] > 2 * front["data"]["majority_share_test"]  # it has learned something


def test_the_front_end_stays_in_float(case: Case, job: Path) -> None:
    graph = onnx.load(job / "app/model.int8.onnx").graph
    assert {node.op_type for node in graph.node if case.input_name in node.input} == {case.first}


def test_texts_speak_of_windows_and_sounds(case: Case, job: Path) -> None:
    for name in ("run/report.html", "app/README.md", "app/export.html"):
        page = (job / name).read_text(encoding="utf-8")
        shown = re.sub(r"<(script|style|pre|code)\b.*?</\1>|<[^>]*>|`[^`]*`", " ", page, flags=re.DOTALL)
        assert re.findall(r"\b[Ii]mages?\b|\d px\b", shown) == [], name
    assert f"{case.kind}s" in (job / "app/README.md").read_text(encoding="utf-8")


def test_scores_are_told_by_person_and_by_animal(case: Case, job: Path) -> None:
    front = json.loads((job / "run/front.json").read_text())
    manifest = json.loads((job / "app/manifest.json").read_text())
    for told, n_split in (
        (front["by_column"]["test"], front["data"]["n_test"]),
        (front["by_column"]["val"], front["data"]["n_val"]),
        (manifest["quality"]["by_column"]["test"], front["data"]["n_test"]),
    ):
        ((entry,),) = (told,)
        assert entry["column"] == {"window": "person", "sound": "animal"}[case.kind]
        assert sum(row["images"] for row in entry["rows"]) == n_split
        right = sum(row["images"] * row["score"] for row in entry["rows"])
        assert right == pytest.approx(round(right))
    assert f"By {entry['column']}, the worst first" in (job / "app/README.md").read_text(encoding="utf-8")


def test_the_program_answers_as_the_golden_pair(case: Case, job: Path) -> None:
    app = job / "app"
    rows = np.loadtxt(app / "golden/input.csv", delimiter=",", dtype=np.float32, ndmin=2)
    assert (
        rows.shape == (case.shape[3], case.shape[1])
        and rows.tobytes() == (app / "golden/input.raw").read_bytes()
    )
    files = [app / "golden/input.csv"]
    if case.kind == "sound":
        files.append(app / "golden.wav")
        wavfile.write(files[1], 8000, (rows[:, 0] * 32768).astype(np.int16))
    golden = json.loads((app / "golden/expected.json").read_text())
    for words in (["--check"], *([str(file)] for file in files)):
        program = [sys.executable, str(app / "snippets/classify.py"), *words]
        done = subprocess.run(program, capture_output=True, text=True, check=True)
        said = done.stdout.split()
        assert said[0].startswith("good") or said[:2] == [*words, golden["class"]]
    turned = app / "turned.csv"
    np.savetxt(turned, rows.T, delimiter=",")
    program = [sys.executable, str(app / "snippets/classify.py"), str(turned)]
    refused = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (
        refused.returncode == 1 and f"give {case.shape[3]} rows of {case.shape[1]} numbers" in refused.stderr
    )


@pytest.mark.skipif(bool(cpp.lacking()), reason=cpp.lacking())
def test_the_cpp_program_answers_as_the_golden_pair(job: Path) -> None:
    cpp.checks_itself(job / "app")


def test_costs_are_those_of_the_file(case: Case, job: Path) -> None:
    points = json.loads((job / "run/front.json").read_text())["points"]
    point = next(p for p in points if p["arch_id"] and p["pick"])
    manifest = json.loads((job / "run/models" / point["arch_id"] / "manifest.json").read_text())
    assert manifest["ptflops"]["differs"] is False  # ptflops counts the front end too
    assert point["predicted"]["size_mb"] == pytest.approx(
        manifest["size_mb"], rel=0.1, abs=0.004
    )  # names and shapes of the graph weigh in a file of 30 kB
