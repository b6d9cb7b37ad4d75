"""`hwnas train`: a genotype or the alphas of a search become a trained, exported network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cli
from hwnas.spaces import load_space
from hwnas.traces import alphas_npz

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
    assert found["architecture"] == CELL
    assert Path(found["onnx"]).is_file()
    assert 0 <= found["test_accuracy"] <= 1


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either a genotype or the alphas"),
        (["--genotype", "Genotype(normal=__import__('os'))"], "is no genotype"),
        (["--genotype", "Genotype(normal=[], normal_concat=[], reduce=[], reduce_concat=[])"], "genotype"),
        (["--genotype", CELL.replace("skip_connect", "skip_conect")], "did you mean 'skip_connect'"),
        (["--alphas", "gone.npz"], "give alphas.npz of a search"),
        (["--genotype", CELL, "--epoch", "4"], "an epoch chooses among alphas"),
    ],
)
def test_bad_input_is_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", *arguments, *SMALL]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.startswith("error: ") and "Traceback" not in err


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
