"""`hwnas train` for tasks other than classes: from data to a checked file, and longer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

import cli
from hwnas.data import load_data
from hwnas.data.batches import file_batches
from hwnas.exporting.onnx_score import open_session
from hwnas.spaces import load_space
from tests.support.spaces import TINY_STAGES

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)
    Path("tiny.toml").write_text(TINY_STAGES)


def key(space: str, **shape: object) -> str:
    made = load_space(space, **shape)  # type: ignore[arg-type]
    return made.key(made.sample(np.random.default_rng(0)))


def trained(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    assert cli.run(["train", *words, "--quiet", "--json"]) == code
    found: dict = json.loads(capsys.readouterr().out)
    return found


def test_numbers_are_learned_and_the_file_answers_in_their_units(capsys: pytest.CaptureFixture[str]) -> None:
    """R² by scikit-learn of what the file answers; and the same network for longer."""
    data = load_data("gauges", 16, 0, root=Path("home"), task="regression", limit=300)
    arch = key("tiny.toml", **data.network_shape)
    words = ("--data", "gauges", "--task", "regression", "--image-size", "16", "--limit", "300")
    first = trained(
        capsys, "--genotype", arch, "--space", "tiny.toml", *words, "--epochs", "8", "--out", "run"
    )
    assert "val_accuracy" not in first and 0 < first["test_r2"] <= 1
    session = open_session(Path(first["onnx"]))
    answers, labels = [], []
    for x, y in file_batches(data, "test", 1):
        answers.append(session.run(None, {"image": x.numpy()})[0][0])
        labels.append(y.numpy()[0])
    assert first["test_r2"] == pytest.approx(max(0.0, r2_score(labels, answers)), abs=1e-5)
    manifest = json.loads((Path(first["onnx"]).parent / "manifest.json").read_text())
    assert manifest["task"] == "regression" and manifest["test_r2"] == first["test_r2"]
    longer = trained(capsys, "--continue", "run", "--epochs", "1")
    assert longer["epochs"] == 1 and "test_r2" in longer


@pytest.mark.parametrize(
    ("data", "options", "space", "metric"),
    [
        ("shape-masks", ("--task", "segmentation", "--limit", "80"), "tiny.toml", "miou"),
        ("gestures", (), "tiny.toml", "accuracy"),
        ("markov", ("--task", "language"), "recurrent", "saved"),
    ],
)
def test_masks_windows_and_texts_too(
    data: str, options: tuple[str, ...], space: str, metric: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = dict(zip(options[::2], options[1::2], strict=True))
    size = 16 if data == "shape-masks" else None
    loaded = load_data(
        data, size, 0, root=Path("home"),
        task=given.get("--task"),
        limit=int(given.get("--limit", 0)) or None,
    )  # fmt: skip
    words = ("--data", data, *options, *(("--image-size", "16") if size else ()))
    found = trained(
        capsys, "--genotype", key(space, **loaded.network_shape), "--space", space, *words, "--epochs", "1",
        "--recipe", "standard",
    )  # fmt: skip
    assert 0 <= found[f"test_{metric}"] <= 1 and Path(found["onnx"]).is_file()


def test_what_a_task_does_not_learn_by_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    data = load_data("gauges", 16, 0, root=Path("home"), task="regression", limit=60)
    arch = key("tiny.toml", **data.network_shape)
    words = ["train", "--genotype", arch, "--space", "tiny.toml", "--data", "gauges", "--task", "regression"]
    words += ["--image-size", "16", "--limit", "60"]
    for option, told in (
        (("--recipe", "strong"), "--recipe strong"),
        (("--mixup", "0.2"), "--mixup: for one class per image"),
        (("--label-smoothing", "0.1"), "the labels of regression (one or several numbers per image) are not"),
    ):
        assert cli.run([*words, *option, "--out", "none"]) == 2
        assert told in capsys.readouterr().err
    assert cli.run([*words[:7], "--image-size", "16"]) == 2  # without the task
    assert "gauges is a data set of the task regression" in capsys.readouterr().err
    assert not Path("none").exists()
