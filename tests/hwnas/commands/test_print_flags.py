"""`--csv` and `--json` print; a file behind them is refused before it is read as something else."""

from __future__ import annotations

from pathlib import Path

import pytest

import cli


@pytest.mark.parametrize(
    "line",
    [
        "predict a.onnx --csv FILE",
        "predict a.onnx --csv costs.csv",
        "predict a.onnx --json out/costs.json",
        "predict a.onnx --csv=FILE",
        "bench --csv costs.txt a.onnx",
        "front merge one two --json front.json",
        "status run --json status.JSON",
        "doctor --json doctor.json",
        "methods --json all.json",
        "methods show darts --json darts.json",
        "tables show host --json=x",
    ],
)
def test_a_file_behind_a_flag_that_prints_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(line.split()) == 2
    flag = "--csv" if "--csv" in line else "--json"
    file = line.replace("=", " ").split(f"{flag} ")[1].split()[0]
    assert f"{flag} takes no file, it prints to stdout: write {flag} > {file}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "predict --csv missing.onnx --home .",  # a typing error in the name of a network
        "predict --csv there --home .",
        "data check --json there.json",  # what is there may be what the command reads
        "rank run --target host --csv known.csv",  # here --csv names a file
        "methods show --json no-such-method",
        "predict -- --csv x.csv",
    ],
)
def test_other_words_are_left_to_the_command(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there.json").write_text("{}")
    assert cli.run(line.split()) in (2, 3, 4)
    assert "takes no file" not in capsys.readouterr().err
