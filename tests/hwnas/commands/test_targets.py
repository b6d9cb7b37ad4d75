"""`hwnas targets`: what there is, and whether it can be measured on."""

import json
import tomllib
from pathlib import Path

import pytest

import cli


def test_the_list_says_how_each_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["targets", "list"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert rows["host"][:3] == ["local", "cpu", "1"]
    assert rows["raspberry-pi-5"][0] == "ssh"
    assert rows["android"][0] == "adb"
    assert "int8" in rows["host-2-threads-int8"]


def test_what_show_prints_is_a_target_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["targets", "show", "raspberry-pi-4"]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["reach"]["host"] == "raspberry-pi-4"
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('"raspberry-pi-4"', '"my-board"'))
    assert cli.run(["targets", "show", str(mine), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "my-board"


def test_check_measures_where_nothing_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["targets", "check", "host", "--home", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["usable"] is True
    assert {need["name"]: need["state"] for need in document["needs"]}["onnxruntime"] == "ok"
    assert document["measured"]["models"]["reference"]["p50_ms"] > 0


def test_check_of_what_cannot_be_reached_is_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither ssh nor adb
    for name, program in (("raspberry-pi-4", "openssh-client"), ("android", "platform-tools")):
        assert cli.run(["targets", "check", name, "--home", str(tmp_path), "--json"]) == 4
        out, err = capsys.readouterr()
        document = json.loads(out)
        assert (document["usable"], document["measured"]) == (False, None)
        assert [need["state"] for need in document["needs"]] == ["missing"]
        assert program in err
