"""A finished search goes on with data that grew: splits kept, files tested before and after, a teacher.

The device alone is a stand-in, as in `test_photos`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from hwnas.data import load_data
from hwnas.exporting.onnx_score import open_session
from tests.support.main_jobs import run_here
from tests.support.spaces import TINY_STAGES

pytestmark = pytest.mark.slow

OPTIONS = (
    "--image-size 16 --evaluations 3 --eval-epochs 1 --population 4 --workers 1 --picks 1",
    "--random-baselines 0 --train-epochs 2 --budget latency_ms<=5000",
)


def write_digits(folder: Path, first: int, last: int) -> None:
    """Those of scikit-learn's digits 0, 1 and 2 from `first` to `last`, in a folder per class."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.flatnonzero(labels < 3)[first:last]
    for index in chosen:
        pixels = (images[index].reshape(8, 8) * 15.9).astype(np.uint8)
        path = folder / f"digit-{labels[index]}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((16, 16)).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown")
    (folder / "tiny.toml").write_text(TINY_STAGES)
    write_digits(folder / "digits", 0, 180)
    run_here(folder, "search --data digits/ --space tiny.toml --out first", *OPTIONS)
    write_digits(folder / "digits", 180, 400)
    line = "search --continue-from first --grown-data digits/ --train-epochs 2 --workers 1"
    planned = run_here(folder, line, "--dry-run --json")
    assert json.loads(planned.stdout)["work"]["growth"]["kept"] == 180
    run_here(folder, line, "--teacher first --out second")
    return folder


def read(folder: Path, name: str) -> dict:
    document: dict = json.loads((folder / name).read_text())
    return document


def test_nothing_moved_and_the_teacher_taught(folder: Path) -> None:
    old, new = read(folder, "first/splits.json"), read(folder, "second/splits.json")
    for name in ("train", "val", "test"):
        assert set(old[name]) < set(new[name])
    (result,) = [json.loads(path.read_text()) for path in (folder / "second/training").glob("*/result.json")]
    assert result["job"]["teacher"]["sha256"] == result["job"]["start"]["sha256"]
    assert result["job"]["recipe"]["distil"] == 0.5


def test_the_front_has_both_files_on_the_same_test_images(folder: Path) -> None:
    """By onnxruntime alone, each file with its own normalisation."""
    front, splits = read(folder, "second/front.json"), read(folder, "second/splits.json")
    data = load_data(str(folder / "digits"), None, 0, root=folder / "home", splits=splits)
    test, added = data.split("test"), set(splits["added"])
    new = np.array([name in added for name in splits["test"]])
    pixels, labels = data.images(test).numpy().astype(np.float32), data.labels[test]
    facts = front["growth"]["networks"][front["chosen"]]
    for run, when in (("first", "before"), ("second", "after")):
        model = folder / run / "models" / front["chosen"]
        manifest = json.loads((model / "manifest.json").read_text())
        mean, std = (np.array(manifest[key], np.float32).reshape(1, -1, 1, 1) for key in ("mean", "std"))
        session = open_session(model / "model.onnx")
        x = (pixels / np.float32(255) - mean) / std
        answers = np.array([session.run(None, {manifest["input_name"]: row[None]})[0].argmax() for row in x])
        right = answers == labels
        assert facts[when]["test_accuracy"] == pytest.approx(right.mean())
        assert facts[when]["test_accuracy_added"] == pytest.approx(right[new].mean())
        assert facts[when]["test_accuracy_kept"] == pytest.approx(right[~new].mean())
    assert front["growth"]["test_images"] == {"added": int(new.sum()), "kept": int((~new).sum())}


def test_what_the_search_evaluated_is_of_the_earlier_images(folder: Path) -> None:
    front = read(folder, "second/front.json")
    assert front["store"] is None and all(row["stale"] for row in front["evaluated"])
    page = (folder / "second/report.html").read_text()
    assert (
        "On data that grew" in page and "On data that grew" not in (folder / "first/report.html").read_text()
    )


def test_what_cannot_be_leaves_no_folder(folder: Path) -> None:
    line = "search --continue-from first --train-epochs 1 --out third --workers 1"
    write_digits(folder / "others", 400, 420)
    done = run_here(folder, line, "--grown-data others/", code=2)
    assert "holds no image of the earlier run" in done.stderr
    done = run_here(folder, line, "--grown-data digits/ --seed 1", code=2)
    assert "--seed: a search that goes on keeps" in done.stderr
    done = run_here(folder, "search --grown-data digits/", code=2)
    assert "--grown-data needs the finished search" in done.stderr
    assert not (folder / "third").exists()
