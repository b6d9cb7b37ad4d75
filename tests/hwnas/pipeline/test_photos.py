"""The whole main job on colour photos of 224 px with a limit on memory, and on baselines that fail.

The device alone is a stand-in: every block costs 0.1 ms, every network 1 ms.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.main_jobs import STAND_IN
from tests.support.spaces import TINY_STAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's"),
]

ROOT = Path(__file__).parents[3]
SIDE_PX = 224
LIMIT_BYTES = 3_000_000_000
"""Twice what the job takes. A matrix with a row and a column per number of an image has 181 GB."""

LAUNCH = f"""
import resource
resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT_BYTES}, {LIMIT_BYTES}))
{STAND_IN}"""
BROKEN = """
from hwnas.pipeline.main_job import evaluation
from hwnas.training import pixel_models
from targets.errors import DamagedFileError
def out_of_memory(*_, **__):
    raise MemoryError("no 90 GB")
whole = evaluation.export_model
def export_model(module, data, folder, **options):
    if options["facts"]["origin"] == "random":
        raise DamagedFileError("its logits are not torch's")
    return whole(module, data, folder, **options)
pixel_models.PIXEL_MODELS["svc"] = ("svc", out_of_memory)
evaluation.export_model = export_model
"""
OPTIONS = [
    *("--image-size", str(SIDE_PX), "--evaluations", "3", "--eval-epochs", "1", "--population", "4"),
    *("--picks", "1", "--random-baselines", "1", "--train-epochs", "1", "--repeats", "0"),
    *("--batch-size", "4", "--workers", "2", "--budget", "latency_ms<=5000"),
]


def photos(folder: Path, n_per_class: int) -> Path:
    """Photos in three class folders; the strongest colour is the class."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir(parents=True)
        for i in range(n_per_class):
            coarse = rng.integers(0, 120, (6, 8, 3))
            coarse[:, :, label] += 110
            image = Image.fromarray(coarse.astype(np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
            image.save(folder / name / f"{i}.jpg")
    return folder


def search(*arguments: str, broken: str = "") -> subprocess.CompletedProcess[str]:
    program = f"{LAUNCH}{broken}\nimport cli\ncli.main()"
    return subprocess.run(
        [sys.executable, "-c", program, "search", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "tiny.toml").write_text(TINY_STAGES)
    done = search(
        *("--data", str(photos(folder / "photos", 10)), "--space", str(folder / "tiny.toml"), *OPTIONS),
        *("--home", str(folder / "home"), "--out", str(folder / "run")),
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_photos_of_224_px_go_through_the_whole_job_in_little_memory(run: Path) -> None:
    document = json.loads((run / "front.json").read_text())
    assert {model["name"]: model["failure"] for model in document["pixel_models"]} == {
        "svc": None,
        "linear": None,
    }
    # The mean colour is the class, by far, and a linear model sees it in 18 images.
    assert document["linear_test_accuracy"] == 1.0
    (svc, linear) = document["pixel_models"]
    assert svc["image_side_px"] == linear["image_side_px"] == 32
    assert svc["n_train"] == linear["n_train"] == 18
    assert "32 px, 18 training images" in (run / "report.html").read_text()
    assert all(point["failure"] is None for point in document["points"])
    assert document["repeats"] is None and document["data"]["images_per_class"] == 10
    assert "few_images" in {finding["code"] for finding in document["verdict"]}


def test_what_fails_stays_in_the_table_with_its_reason(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(run, again)
    for stage in ("evaluation", "report"):
        (again / "stages" / f"{stage}.json").unlink()
    done = search("--resume", str(again), broken=BROKEN)
    assert done.returncode == 0, done.stderr
    assert "the baseline svc failed: MemoryError: no 90 GB" in done.stderr
    document = json.loads((again / "front.json").read_text())
    assert document["svc_test_accuracy"] is None and document["linear_test_accuracy"] == 1.0
    (random,) = (point for point in document["points"] if point["origin"] == "random")
    assert random["failure"] == "its logits are not torch's"
    assert "test_accuracy" not in random["measured"]
    with (again / "front.csv").open(encoding="utf-8", newline="") as file:
        reasons = {row["arch_id"]: row["failure"] for row in csv.DictReader(file)}
    assert reasons[random["arch_id"]] == "its logits are not torch's"
    assert sum(map(bool, reasons.values())) == 1
    page = (again / "report.html").read_text()
    assert "failed: MemoryError: no 90 GB" in page and "failed: its logits are not torch" in page
