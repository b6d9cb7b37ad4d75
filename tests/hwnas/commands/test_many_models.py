"""`hwnas predict` and `hwnas bench` of folders and of several devices; a broken file stops only itself."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import cli
import lut
from targets import Target, load_target
from tests.support.homes import chain_of_products, write_predictor

HOST = load_target("host")
N_FILES, N_BROKEN = 50, 3


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """0.1 ms a matrix product, 0.05 ms anything else, 0.02 ms a network; on two devices."""
    monkeypatch.chdir(tmp_path)
    host = Path(cli.__file__).parent / "targets/known/host.toml"
    Path("board.toml").write_text(host.read_text().replace('name = "host"', 'name = "board"'))
    for target in (HOST, load_target("board.toml")):
        write_predictor(tmp_path / "home", target)
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """47 networks of 1 to 5 products, some in a folder below, one with an open batch, and 3 faults."""
    models = tmp_path / "models"
    (models / "below").mkdir(parents=True)
    for i in range(N_FILES - N_BROKEN):
        place = models / "below" if i % 5 == 0 else models
        (place / f"{i:02d}.onnx").write_bytes(chain_of_products(1 + i % 5, ["batch" if i == 3 else 4, 32]))
    (models / "empty.onnx").write_bytes(b"")
    (models / "page.onnx").write_bytes(b"<html>not found</html>")
    (models / "operator.onnx").write_bytes(chain_of_products(1, [4, 32], op="Magic"))
    (models / "readme.txt").write_text("not a model")
    (models / "01.onnx.data").write_bytes(b"weights as exporters put them beside a model")
    return models


def test_a_folder_of_fifty_with_three_broken_ones(
    home: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", str(folder), "--home", str(home)]) == 3
    out, err = capsys.readouterr()
    rows = [line for line in out.splitlines() if ".onnx" in line]
    assert len(rows) == N_FILES - N_BROKEN
    reasons = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(reasons) == N_BROKEN
    for name in ("empty.onnx", "page.onnx", "operator.onnx"):
        assert sum(name in reason for reason in reasons) == 1
    assert "1 other file is left out (.txt x 1)" in err
    assert "03.onnx: an open batch is taken as 1; for another give --shape x=8,32" in err
    assert rows[0].split()[0] == "01.onnx", "names are given without the folder of all"


def test_networks_share_a_process(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []
    popen = subprocess.Popen

    def begin(command: list[str], **options: Any) -> Any:
        begun.extend(part for part in command if "kernels_child" in part)
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", begin)
    assert cli.run(["predict", str(folder), "--home", str(home), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert len(document["models"]) == N_FILES - N_BROKEN
    assert {entry["exit_code"] for entry in document["failed"].values()} == {3}
    assert len(begun) == 1


def test_sorted_as_csv_with_the_ratio_to_the_first(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, n in (("b", 3), ("a", 1)):
        Path(f"{name}.onnx").write_bytes(chain_of_products(n, [4, 32]))
    line = ["predict", "b.onnx", "a.onnx", "--home", str(home)]
    assert cli.run([*line, "--sort", "latency_ms", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["network"] for row in rows] == ["a.onnx", "b.onnx"]
    assert [row["target"] for row in rows] == ["host", "host"]
    assert [float(row["latency_ms"]) for row in rows] == pytest.approx([0.17, 0.37])
    assert [float(row["ratio"]) for row in rows] == pytest.approx([0.17 / 0.37, 1])
    assert cli.run([*line, "--sort", "latency"]) == 2
    assert "did you mean 'latency_ms'" in capsys.readouterr().err
    assert cli.run([*line, "--csv", "--json"]) == 2


def test_several_devices_in_one_table_and_one_page(
    home: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    line = ["predict", str(folder), "--home", str(home), "--target", "host", "--target", "board.toml"]
    assert cli.run([*line, "--html", str(page)]) == 3
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["network", "latency_ms@host", "latency_ms@board"]
    assert len([line for line in lines if ".onnx" in line]) == N_FILES - N_BROKEN
    assert sum(line.startswith("on host: ") for line in lines) == 1
    assert sum(line.startswith("on board: ") for line in lines) == 1
    assert sum(line.startswith("error: ") for line in err.splitlines()) == N_BROKEN
    text = page.read_text()
    assert "host, ms" in text and "board, ms" in text
    assert text.count("below/00.onnx on board") == 1
    assert cli.run([*line, "--json"]) == 3
    targets = json.loads(capsys.readouterr().out)["targets"]
    assert [entry["target"]["name"] for entry in targets] == ["host", "board"]
    assert cli.run([*line, "--target", "host"]) == 2


def test_bench_goes_on_without_the_file_that_the_job_fails_for(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def measure(target: Target, files: dict[str, bytes], **_: Any) -> dict[str, lut.Measurement]:
        from targets.errors import DamagedFileError

        asked.append(len(files))
        for name in files:
            if "operator" in name:
                raise DamagedFileError(f"onnxruntime cannot load {name}: it lacks this operator")
        return dict.fromkeys(files, lut.Measurement(0.5, 0.6, 0.9, 0.58, 0.62, "cpu", "ok", 50))

    monkeypatch.setattr(lut, "measure", measure)
    assert cli.run(["bench", str(folder), "--no-memory", "--home", str(home)]) == 3
    out, err = capsys.readouterr()
    assert asked == [48, 47]
    assert len([line for line in out.splitlines() if ".onnx" in line]) == N_FILES - N_BROKEN
    assert sum(line.startswith("error: ") for line in err.splitlines()) == N_BROKEN


def test_a_fault_of_the_device_is_no_fault_of_a_file(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from targets.errors import TargetError

    def measure(*_: Any, **__: Any) -> Any:
        raise TargetError("target host: no space left")

    monkeypatch.setattr(lut, "measure", measure)
    assert cli.run(["bench", str(folder), "--no-memory", "--home", str(home)]) == 4
    assert capsys.readouterr().out == ""


def test_a_folder_without_models(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("x")
    assert cli.run(["predict", str(tmp_path / "docs"), "--home", str(home)]) == 2
    assert "is a folder without any .onnx file (.txt x 1)" in capsys.readouterr().err
