"""`hwnas train`: a genotype or the alphas of a search become a trained, exported network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save

import cli
import hwnas.pipeline.single_training
import hwnas.training.training_job
from hwnas.commands.documents.schemas import adapter
from hwnas.pipeline.earlier_training import earlier_training
from hwnas.pipeline.search_history import alphas_npz
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from targets.errors import UsageError

pytestmark = pytest.mark.slow


SMALL = [
    *("--data", "digits", "--image-size", "16", "--limit", "120", "--space", "nasbench201", "--cells", "1"),
    *("--channels", "4", "--epochs", "1", "--batch-size", "24", "--quiet", "--json"),
]
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))


def write_alphas(path: Path) -> None:
    """Two epochs; the first means CELL."""
    space = load_space("nasbench201", image_size=16, in_channels=1, n_classes=10)
    first = [3, 0, 2, 1, 0, 4]
    rows = {c.name: np.full((2, 5), -3.0, np.float32) for c in space.choices}
    for choice, option in zip(space.choices, first, strict=True):
        rows[choice.name][0, option] = rows[choice.name][1, 1] = 0.0
    path.write_bytes(alphas_npz(rows))


def test_a_genotype_is_trained_and_exported(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--genotype", CELL, *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)
    adapter("train").validate_python(found)
    assert found["architecture"] == CELL
    assert Path(found["onnx"]).is_file()
    assert 0 <= found["test_accuracy"] <= 1


def test_a_training_goes_on_for_more_epochs_from_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", "--genotype", CELL, *SMALL, "--out", "first"]) == 0
    first = json.loads(capsys.readouterr().out)
    line = ["train", "--continue", "first", "--epochs", "2", "--quiet", "--json"]
    assert cli.run([*line, "--dry-run"]) == 0
    job = json.loads(capsys.readouterr().out)["job"]
    before = json.loads((Path(first["folder"]) / "result.json").read_text())
    assert job["recipe"] == {**before["job"]["recipe"], "epochs": 2}
    assert job["start"]["sha256"] == before["weights_sha256"]
    assert (job["network"], job["data"]) == (before["job"]["network"], before["job"]["data"])
    assert cli.run(line) == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["architecture"], second["epochs"]) == (CELL, 2)
    assert Path(second["onnx"]).is_file() and second["folder"] != first["folder"]
    assert cli.run(["train", "--pick", second["folder"], "--epochs", "1", "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--continue nowhere", "nowhere is nothing that was trained; give RUN/ID of a search"),
        ("--continue nowhere --data digits --batch-size 8", "--batch-size, --data: a training that goes on"),
        ("--continue nowhere --genotype x", "--genotype: a training that goes on"),
    ],
)
def test_what_cannot_go_on(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", *line.split(), "--epochs", "2"]) == 2
    assert said in capsys.readouterr().err


def test_picks_of_a_search_are_found_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--genotype", CELL, *SMALL, "--out", "first"]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["folder"])
    with create_search(Path("run"), SearchConfig(seed=3), log=Log(quiet=True)):
        pass
    with pytest.raises(UsageError, match="run is not finished; `hwnas search --resume run` goes on with it"):
        earlier_training(Path("run"))
    name = folder.name
    shutil.copytree(folder, f"run/training/{name}-s3")
    trained = earlier_training(Path("run") / name)
    assert (trained.folder, trained.job.network["arch"]) == (
        Path(f"run/training/{name}-s3"),
        json.loads((folder / "result.json").read_text())["job"]["network"]["arch"],
    )
    with pytest.raises(UsageError, match=f"has trained no network 'other'; known: {name}"):
        earlier_training(Path("run/other"))


def test_alphas_of_an_epoch_name_the_same_architecture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_alphas(tmp_path / "alphas.npz")
    found = []
    for which in (["--genotype", CELL], ["--alphas", "alphas.npz", "--epoch", "1"]):
        assert cli.run(["train", *which, *SMALL, "--dry-run"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    recipe = found[0]["job"]["recipe"]
    assert (recipe["cutout"], recipe["drop_path"], recipe["auxiliary"]) == (0.5, 0.2, 0.4)
    assert "auxiliary" not in found[0]["job"]["network"]  # this space has no auxiliary head
    assert not (tmp_path / "runs").exists()


STOPPED = """
import signal, sys
import hwnas.pipeline.single_training as training

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start with it ignored
run_job = training.run_job

def run_until_7(job, folder, *, on_step, log):
    def tell(done, total):
        on_step(done, total)
        if done == 7:
            print("step 7", flush=True)
            sys.stdin.read()
    return run_job(job, folder, on_step=tell, log=log, save_every_s=0.0)

training.run_job = run_until_7
import cli
from hwnas.commands.documents.schemas import adapter
cli.main()
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_that_is_stopped_goes_on_to_the_same_end(
    signum: signal.Signals,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["train", "--genotype", CELL, *SMALL, "--epochs", "5", "--home", str(tmp_path / "home"), "--out"]
    root = str(Path(cli.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, *line, "cut"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "step 7\n"
        process.send_signal(signum)
        out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-1] == "stopped; go on with: the same command; what is trained stays"

    steps: list[int] = []
    run_job = hwnas.training.training_job.run_job

    def spy(job: Any, folder: Path, *, on_step: Any, log: Any) -> Any:
        return run_job(job, folder, on_step=lambda done, total: steps.append(done), log=log)

    monkeypatch.setattr(hwnas.pipeline.single_training, "run_job", spy)
    found = []
    for folder in ("cut", "whole", "cut"):
        steps.clear()
        assert cli.run([*line, folder]) == 0
        document = json.loads(capsys.readouterr().out)
        weights = load_file(Path(document.pop("folder")) / "weights.safetensors")
        model = Path(document.pop("onnx")).read_bytes()
        found.append((document, {k: v.tobytes() for k, v in weights.items()}, model))
        assert (steps[0] if steps else None) in {0: (7, 8), 1: (1,), 2: (None,)}[len(found) - 1]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either a genotype or the alphas"),
        (["--genotype", "Genotype(normal=__import__('os'))"], "is no genotype"),
        (
            ["--genotype", "Genotype(normal=[], normal_concat=[], reduce=[], reduce_concat=[])"],
            "of another space",
        ),
        (["--genotype", CELL.replace("skip_connect", "skip_conect")], "did you mean 'skip_connect'"),
        (["--genotype", CELL, "--alphas", "good.npz"], "either a genotype or the alphas"),
        (["--genotype", CELL, "--epoch", "4"], "an epoch chooses among alphas"),
        (["--genotype", CELL, "--method", "p-darts"], "a method decodes them; give the alphas too"),
        (["--genotype", CELL, "--epochs", "0"], "epochs"),
        (["--genotype", CELL, "--batch-size", "0"], "--batch-size is 0; allowed: 2 to 8,192"),
        (["--genotype", CELL, "--limit", "0"], "limit"),
        (["--genotype", CELL, "--cells", "0"], "cells"),
        (["--genotype", CELL, "--image-size", "8"], "16 to 224"),
        (["--genotype", CELL, "--data", "no/such/folder"], "no/such/folder"),
        (["--genotype", CELL, "--data", "empty"], "empty"),
        (["--genotype", CELL, "--data", "cifra10"], "did you mean 'cifar10'"),
        (["--genotype", CELL, "--space", "nasbench"], "did you mean 'nasbench201'"),
        (
            ["--genotype", CELL, "--device", "gpu"],
            "--device is 'gpu'; allowed: auto, cpu, cuda or cuda:0 to cuda:15",
        ),
        (["--genotype", CELL, "--gpus", "0"], "--gpus is 0; allowed: 1 to 64"),
        (["--genotype", CELL, "--gpus", "2", "--device", "cpu"], "--gpus 2 needs --device cuda"),
        (["--alphas", "gone.npz"], "give alphas.npz of a search"),
        (["--alphas", "good.npz", "--epoch", "3"], "epoch 3 is not among the 2"),
        (["--alphas", "good.npz", "--space", "darts"], "they are not of space darts"),
        (["--alphas", "good.npz", "--method", "p-dart"], "did you mean 'p-darts'"),
        (["--alphas", "good.npz", "--method", "enas"], "needs the supernet of the search"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_alphas(tmp_path / "good.npz")
    (tmp_path / "empty").mkdir()
    assert cli.run(["train", *SMALL, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.startswith("error: ") and "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpus_that_are_not_here_are_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", "--genotype", CELL, *SMALL, "--gpus", "2"]) == 4
    assert "torch finds no CUDA device here" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_alphas_that_are_not_there_are_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--alphas", "missing.npz", *SMALL]) == 2
    assert "error: alphas missing.npz: there is no such file; give alphas.npz of" in capsys.readouterr().err
    assert cli.run(["train", "--alphas", str(tmp_path), *SMALL]) == 3
    assert "cannot be read as .npz or .npy (Is a directory); give" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_damaged_alphas_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_alphas(tmp_path / "alphas.npz")
    whole = (tmp_path / "alphas.npz").read_bytes()
    (tmp_path / "alphas.npz").write_bytes(whole[: len(whole) // 2])
    assert cli.run(["train", "--alphas", "alphas.npz", *SMALL]) == 3
    assert "cannot be read as .npz" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"torn", "weights.safetensors is no safetensors file"),
        (save({"a": torch.zeros(2)}), "tensors are in one of the two only"),
    ],
)
def test_weights_that_cannot_be_started_from_are_refused_before_a_folder_is_made(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights.safetensors").write_bytes(content)
    line = ["train", "--genotype", CELL, *SMALL, "--start-from", "weights.safetensors"]
    assert cli.run([*line, "--dry-run"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "weights.safetensors" in err and message in err
    assert cli.run(line) == 3
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_other_things_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    assert cli.run(["train", "--genotype", CELL, *SMALL, "--out", "mine"]) == 2
    assert "mine is not empty (thesis.txt is in it)" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "pc-darts", "--space", "mobile"], "method pc-darts works on the edges"),
        (["--space", "darts", "--width-mult", "2"], "no width multiplier"),
        (["--space", "mobile", "--alpha-history"], "is of cells, which space mobile does not have"),
        (["--tracker", "wandb"], "unknown tracker 'wandb'"),
    ],
)
def test_what_a_search_cannot_carry_is_told_before_it_begins(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["search", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no/such/folder", "no/such/folder"),
        ("empty", "empty"),
        ("broken.zip", "broken.zip"),
        ("cifra10", "cifar10"),
    ],
)
def test_a_search_of_bad_data_leaves_nothing(
    data: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 torn")
    before = sorted(tmp_path.iterdir())
    for place in ([], ["--out", "a/b"]):
        assert cli.run(["search", "--data", data, "--quiet", *place]) in (2, 3)
        assert message in capsys.readouterr().err
        assert sorted(p for p in tmp_path.iterdir() if p.name != "home") == before
    (tmp_path / "mine").mkdir()
    assert cli.run(["search", "--data", data, "--quiet", "--out", "mine"]) in (2, 3)
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_strong_recipe_learns_from_an_earlier_network_and_resumes_as_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "--genotype", CELL, *SMALL]
    assert cli.run([*line, "--out", str(tmp_path / "teacher")]) == 0
    strong = ["--recipe", "strong", "--teacher", str(tmp_path / "teacher"), "--ema", "0.9", "--colour", "0.2"]
    capsys.readouterr()
    assert cli.run([*line, *strong, "--dry-run"]) == 0
    job = json.loads(capsys.readouterr().out)["job"]
    said = {key: job["recipe"][key] for key in ("ema", "colour", "distil", "auto_augment", "epochs")}
    assert said == {"ema": 0.9, "colour": 0.2, "distil": 0.5, "auto_augment": "trivial", "epochs": 1}
    assert cli.run([*line, *strong, "--out", str(tmp_path / "pupil")]) == 0
    capsys.readouterr()
    assert cli.run([*line, *strong, "--out", str(tmp_path / "pupil")]) == 0  # nothing is done again
    assert cli.run([*line, *strong, "--mixup", "0.5", "--out", str(tmp_path / "pupil")]) == 2
    err = capsys.readouterr().err
    assert "another run" in err and "recipe.mixup: the run has 0.2, asked for 0.5" in err
    assert "label_smoothing" not in err  # which is the same in both
    assert cli.run([*line, "--start-from", str(tmp_path / "teacher"), "--out", str(tmp_path / "on")]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--recipe", "stronk"], "published or standard or strong"),
        (["--distil", "0.5"], "name it with --teacher"),
        (["--teacher", "torchvision:resnet18"], "--teacher-weights"),
        (["--teacher", "nothing/here"], "nothing that was trained"),
        (["--teacher", "bad.onnx"], "no model that onnxruntime can run"),
        (["--schedule", "linear"], "cosine or one-cycle"),
        (["--start-from", "bad.onnx"], "no safetensors file"),
        (["--start-from", "gone.safetensors"], "gone.safetensors does not exist"),
    ],
)
def test_wrong_parts_of_a_recipe_are_told_before_a_folder_is_made(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.onnx").write_bytes(b"no model")
    assert cli.run(["train", "--genotype", CELL, *SMALL, *options, "--out", str(tmp_path / "run")]) in (2, 3)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
