"""`hwnas profile` of several devices as people type it, with profiles whose outcome is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cli
import lut
from hwnas.commands.documents.schemas import adapter
from lut.caveats import ASKED, MEASURED
from lut.predictor.profile import predictor_folder
from targets import Context, load_target
from targets.errors import TargetError
from tests.support.homes import write_predictor

LINE = ["profile", "--target", "a.toml", "--target", "b.toml"]


class Boards:
    """Profiles of two boards. away: those that do not answer; asked: those that were profiled, in order."""

    def __init__(self, home: Path) -> None:
        self.home, self.away, self.asked = home, set[str](), list[str]()
        self.errors: dict[str, Any] = {ASKED: 30, MEASURED: 30}

    def profile(self, target: Any, **options: Any) -> Any:
        self.asked.append(target.name)
        if target.name in self.away:
            raise TargetError(f"target {target.name}: it is off")
        context = Context({"board": target.name})
        made = replace(write_predictor(self.home, target, context), errors=self.errors)
        made.save(predictor_folder(self.home, target, context.hash))
        return made


@pytest.fixture
def boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boards:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    host = load_target("host").to_json()
    for name in ("a", "b"):
        lines = [f"{k} = {json.dumps(v)}" for k, v in {**host, "name": name}.items() if k != "reach"]
        reach = f'[reach]\ntransport = "ssh"\nhost = "{name}.invalid"\n'
        Path(f"{name}.toml").write_text("\n".join(lines) + "\n" + reach)
    made = Boards(tmp_path / "home")
    monkeypatch.setattr(lut, "profile_device", made.profile)
    return made


def test_each_device_has_a_row(boards: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(LINE) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["target", "state", "error", "date"]
    assert [row[:2] for row in rows[1:]] == [["a", "ok"], ["b", "ok"]]


def test_a_failure_leaves_the_others_and_the_same_command_goes_on(
    boards: Boards, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.away.add("a")
    assert cli.run([*LINE, "--json"]) == 4
    out, err = capsys.readouterr()
    document = json.loads(out)
    adapter("profile").validate_python(document)
    failed, made = document["targets"]
    assert failed == {"target": "a", "failure": "target a: it is off", "exit_code": 4}
    assert made["target"] == "b"
    assert "error: a: target a: it is off" in err and "1 of 2 devices are not profiled" in err
    boards.away.clear()
    assert cli.run(LINE) == 0
    assert boards.asked.count("a") == 2 and boards.asked.count("b") == 1  # b stays
    assert "b: profiled by this command already (2026-01-02); it stays" in capsys.readouterr().err
    assert cli.run(LINE) == 0  # all were complete: measured anew, as one device would be
    assert boards.asked.count("b") == 2


def test_another_command_and_a_partial_profile_keep_nothing(boards: Boards) -> None:
    boards.away.add("a")
    assert cli.run(LINE) == 4
    assert cli.run([*LINE, "--minutes", "9"]) == 4
    assert boards.asked.count("b") == 2
    boards.errors = {ASKED: 30, MEASURED: 10}
    assert cli.run([*LINE, "--minutes", "8"]) == 4
    assert cli.run([*LINE, "--minutes", "8"]) == 4
    assert boards.asked.count("b") == 4


def test_dry_run_and_names_that_collide(boards: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*LINE, "--dry-run"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [target["name"] for target in document["targets"]] == ["a", "b"] and document["minutes"] == 5.0
    assert cli.run([*LINE, "--target", "a.toml"]) == 2
    assert "--target a is there twice" in capsys.readouterr().err
    assert boards.asked == []
