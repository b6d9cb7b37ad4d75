"""`hwnas shrink`, from a training to a front: costs by MACs, so that budgets can be counted."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import cli
import hwnas.pipeline.shrinks.stages as stages
import lut
from hwnas.commands.documents.schemas import adapter
from hwnas.exporting.promise import macs_by_node
from hwnas.networks.modes import safetensors_bytes
from hwnas.training.known import build_known
from lut.predictor.profile import predictor_folder
from targets import load_target
from tests.support.exports import fake_costs, fake_measurement
from tests.support.homes import write_predictor

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
TRAIN = [
    *("train", "--genotype", CELL, "--data", "digits", "--image-size", "16", "--limit", "120", "--quiet"),
    *("--space", "nasbench201", "--cells", "1", "--channels", "8", "--epochs", "1", "--batch-size", "24"),
    *("--out", "whole"),
]
MS_PER_MAC = 1e-6


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with a predictor by MACs, and a device that is a tenth slower than predicted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    host = load_target("host")
    known = write_predictor(tmp_path / "home", host)
    by_macs = (0.0, MS_PER_MAC, 0.0, 0.0, 0.0, 0.0, 0.0)
    model = replace(known.model, rooflines={kind: by_macs for kind in known.model.rooflines})
    replace(known, model=model).save(predictor_folder(tmp_path / "home", host, known.context.hash))
    fake_costs(monkeypatch)
    monkeypatch.setattr(lut, "measure", by_macs_of)


def by_macs_of(target: Any, files: dict[str, Path | bytes], **_: Any) -> dict[str, lut.Measurement]:
    contents = {k: f if isinstance(f, bytes) else f.read_bytes() for k, f in files.items()}
    return {k: fake_measurement(1.1 * MS_PER_MAC * macs(model)) for k, model in contents.items()}


def macs(model: bytes) -> int:
    return sum(macs_by_node(model).values())


@pytest.mark.slow
def test_from_a_training_to_a_front(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cli.run(TRAIN) == 0
    whole = next((tmp_path / "whole").glob("*/model/model.onnx")).read_bytes()
    budgets_ms = [round(share * 1.1 * MS_PER_MAC * macs(whole), 6) for share in (0.6, 0.3)]
    line = ["shrink", "whole", *(f"--budget-ms={b}" for b in budgets_ms), "--epochs", "1", "--out", "narrow"]
    line += ["--batch-size", "24", "--quiet", "--json"]
    capsys.readouterr()
    assert cli.run([*line, "--dry-run"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    # By hand: of each of the three cells what its nodes add up, and the node that only a convolution reads;
    # of the two blocks between them what is between their convolutions. What they give is of the next cell.
    assert sorted(group["channels"] for group in groups) == [8, 8, 16, 16, 16, 32, 32, 32]
    assert not Path("narrow").exists()

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "run_job", stop)
        assert cli.run(line) == 130
    assert "the same command" in capsys.readouterr().err
    scans = {path: path.stat().st_mtime_ns for path in Path("narrow/scan").iterdir()}
    assert len(scans) == len(groups)

    assert cli.run(line) == 0
    found = json.loads(capsys.readouterr().out)
    adapter("shrink").validate_python(found)
    assert {path: path.stat().st_mtime_ns for path in Path("narrow/scan").iterdir()} == scans
    points = {point["arch_id"]: point for point in found["points"]}
    original = points.pop("original")
    assert len(points) == 2 and found["chosen"] in points
    for budget_ms, (name, point) in zip(budgets_ms, points.items(), strict=True):
        model = (Path("narrow/models") / name / "model.onnx").read_bytes()
        assert 1.1 * MS_PER_MAC * macs(model) <= budget_ms
        # What is left fills most of the budget: the correction from predicted to measured was learned.
        assert 1.1 * MS_PER_MAC * macs(model) >= 0.6 * budget_ms
        assert point["feasible"] and point["origin"] == "shrunk"
        assert 0 <= point["measured"]["val_accuracy"] <= 1
        assert point["measured"]["size_mb"] < original["measured"]["size_mb"]
    rows = list(csv.DictReader(Path("narrow/front.csv").read_text().splitlines()))
    assert [row["arch_id"] for row in rows] == ["original", *points]

    assert cli.run(["export", f"narrow/{found['chosen']}", "--as", "fp16", "--quiet", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in exported["variants"]] == ["fp32", "fp16"]
    assert cli.run([*line, "--quiet"]) == 0  # all is done
    assert cli.run(["shrink", "whole", "--budget-ms", "100", "--out", "none"]) == 2
    assert "is within --budget-ms 100" in " ".join(capsys.readouterr().err.split())
    assert not Path("none").exists()
    assert cli.run(["shrink", "whole", "--budget-ms", "1e-7", "--out", "narrowest"]) == 5
    assert "the narrowest takes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nowhere", "nowhere is nothing that was trained"),
        ("no/where", "'no/where' is no network; give a folder of `hwnas train`"),
        ("torchvision:resnet18", "needs --weights: nothing is fetched"),
        ("torchvision:resnet18 --weights w.safetensors", "needs --data"),
        pytest.param(
            "torchvision:resnet --weights w.safetensors --data scenes",
            "torchvision has no model 'resnet'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "torchvision:resnet18 --weights w.safetensors --data scenes",
            "are not those of resnet18",
            marks=pytest.mark.slow,
        ),
        ("w.pt", "weights without the network that they are of; name it beside them"),
        ("w.onnx", "w.onnx is an ONNX file, which cannot learn again; shrinking takes a folder of"),
        (
            "torchvision: --weights w.safetensors --data scenes",
            "'torchvision:' is no model; give torchvision:NAME or timm:NAME",
        ),
        ("whole --skip-broken", "what --skip-broken would say; leave it out"),
        ("whole --budget-ms five", "'five' is no number of milliseconds"),
        ("whole --budget-ms -1", "'-1' is no number of milliseconds"),
        ("whole --target host-int8", "float networks are shrunk"),
        ("whole --target none", "none"),
    ],
)
def test_what_cannot_be_shrunk(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("w.safetensors").write_bytes(safetensors_bytes(nn.Linear(2, 2)))
    Path("w.pt").touch()
    Path("w.onnx").touch()
    assert cli.run(["shrink", *line.split()]) in (2, 3, 4)
    assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("runs").exists()


def test_without_a_profile_the_advice_is_to_make_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWNAS_HOME", "empty")
    assert cli.run(["shrink", "whole"]) == 2
    assert "make one with `hwnas profile --target host`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_of_torchvision_is_opened_with_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    module = build_known("torchvision:squeezenet1_1", 10)
    Path("w.safetensors").write_bytes(safetensors_bytes(module))
    line = ["shrink", "torchvision:squeezenet1_1", "--weights", "w.safetensors", "--data", "scenes"]
    assert cli.run([*line, "--limit", "100", "--dry-run"]) == 0
    known = json.loads(capsys.readouterr().out)
    # By hand: the stem, and of eight fire modules the squeeze and the two halves of what it is expanded to;
    # the last convolution gives the classes.
    assert len(known["groups"]) == 1 + 8 * 3
    assert known["network"] == {"model": "torchvision:squeezenet1_1", "n_classes": 10, "in_channels": 3}
