"""`hwnas targets`: what there is, and whether it can be measured on."""

import json
import tomllib
from pathlib import Path

import pytest

import cli
from targets import default_form, host_facts, target_file


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


def test_show_says_the_form_of_int8_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = default_form(host_facts()).text
    assert cli.run(["targets", "show", "host-int8"]) == 0
    text = capsys.readouterr().out
    assert text.endswith(f"\n# int8 form: {here} (the default for this CPU)\n")
    mine = tmp_path / "mine.toml"
    table = 'activations = "int8"\nsymmetric = true\nreduced_range = true\nper_channel = true\n'
    mine.write_text(f"{text}\n[quantisation]\n{table}")
    assert cli.run(["targets", "show", str(mine), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    said = "activations int8 symmetric, weights int8 in 7 bits per channel (set by [quantisation])"
    assert document["int8_form"] == said
    board = tmp_path / "board.toml"
    board.write_text(target_file("arm64-linux").read_text().replace('"fp32"', '"int8"'))
    assert cli.run(["targets", "show", str(board)]) == 0
    assert "# int8 form: the default for the CPU of the device, which" in capsys.readouterr().out
    assert cli.run(["targets", "show", "host"]) == 0
    assert "int8 form" not in capsys.readouterr().out


@pytest.mark.slow
def test_check_of_an_int8_target_says_the_form_and_measures_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = default_form(host_facts()).text
    assert cli.run(["targets", "check", "host-int8", "--home", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    needs = {need["name"]: need for need in document["needs"]}
    assert needs["int8 form"]["found"] == f"{here} (the default for this CPU)"
    assert needs["int8 form"]["advice"] == ""
    assert document["measured"]["int8"] == {"form": here, "quantised": ["reference"]}


@pytest.mark.slow
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
