from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from targets import Reach, Target, known_targets, load_target, target_file
from targets.errors import UsageError

HOST = {
    "name": "host",
    "provider": "cpu",
    "threads": 1,
    "graph_level": "all",
    "precision": "fp32",
    "spinning": False,
}


def test_host_is_known_and_described_by_its_toml_file() -> None:
    assert "host" in known_targets()
    target = load_target("host")
    assert target.to_json() == {**HOST, "reach": asdict(Reach())}
    assert target.options == {key: value for key, value in HOST.items() if key != "name"}


@pytest.mark.parametrize("name", known_targets())
def test_known_targets_load_and_are_named_like_their_files(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    transports = {
        "android": "adb",
        **dict.fromkeys(("raspberry-pi-4", "raspberry-pi-5", "arm64-linux", "jetson"), "ssh"),
    }
    assert target.reach.transport == transports.get(name, "local")
    remote = target.reach.transport != "local"
    assert ("Not yet run on a real one" in target_file(name).read_text()) == remote


def test_a_job_that_travels_holds_no_address() -> None:
    board = replace(
        load_target("raspberry-pi-5"), reach=Reach(transport="ssh", host="secret", identity="/key")
    )
    assert "secret" not in str(board.without_address().to_json())
    assert board.without_address().options == board.options


def test_json_and_back() -> None:
    assert Target.from_json(load_target("host").to_json()) == load_target("host")


def test_a_path_is_a_target_too(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(
        'name = "Board 4"\nprovider = "xnnpack"\nthreads = 4\ngraph_level = "extended"\n'
        'precision = "fp32"\nspinning = true\n'
    )
    target = load_target(file)
    assert (target.threads, target.reach.transport, target.folder) == (4, "local", "board-4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"treads": 1}, "did you mean 'threads'"),
        ({"threads": 0}, "threads must lie in 1 to"),
        ({"threads": 1.0}, "threads must be a whole number, got 1.0"),
        ({"threads": float("nan")}, "threads must be a whole number, got nan"),
        ({"threads": True}, "threads must be a whole number, got True"),
        ({"spinning": 0}, "spinning must be true or false"),
        ({"provider": "cpuu"}, "did you mean 'cpu'"),
        ({"graph_level": "most"}, "unknown graph_level 'most'; known: all, basic"),
        ({"precision": "int4"}, "unknown precision 'int4'; known: fp32, int8"),
        ({"transport": "local"}, "unknown key 'transport'"),
        ({"name": "///"}, "cannot be a name"),
        ({"name": 3}, "name must be a text"),
    ],
)
def test_wrong_values_name_the_place_and_what_is_allowed(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.from_json({**HOST, **change}, "my.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("my.toml: ")


def test_missing_fields_are_named() -> None:
    with pytest.raises(UsageError, match="missing provider, threads"):
        Target.from_json({k: v for k, v in HOST.items() if k not in ("provider", "threads")})


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(
        UsageError, match=r"unknown target 'hots'; known: android, .*\(did you mean 'host'\?\)"
    ):
        load_target("hots")


@pytest.mark.parametrize("content", ["threads = nan\n", "name = \n", "[[]]", "\x00"])
def test_files_that_are_no_target(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"x\.toml"):
        load_target(file)


def test_files_that_are_far_too_large_or_deep_are_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"#" * 50_000_000)
    with pytest.raises(UsageError, match="has 50000000 bytes"):
        load_target(file)
    file.write_text("name = " + "[" * 50_000)
    with pytest.raises(UsageError, match=r"x\.toml"):
        load_target(file)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_target(tmp_path / "none.toml")


@pytest.mark.parametrize("package", ["targets", "profilers"])
def test_device_side_is_light(package: str) -> None:
    import subprocess

    code = f"import {package}, sys; print({{'torch', 'pandas', 'tomllib', 'numpy'}} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"
