"""`hwnas data check` on folders as people have them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            image = Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def test_a_sound_folder(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "check", str(photos)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "photos: 20 images, taken in colour at 32 x 32 px (0.1 MB)"
    assert [line.split() for line in lines[1:5]] == [
        ["class", "train", "val", "test", "images"],
        ["cat", "6", "2", "2", "10"],
        ["dog", "6", "2", "2", "10"],
        ["all", "12", "4", "4", "20"],
    ]


def test_broken_files_are_all_named_once(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        (photos / "cat" / f"{i}.png").write_bytes(b"")
    assert cli.run(["data", "check", str(photos)]) == 3
    said = capsys.readouterr().err
    assert [said.count(f"cat/{i}.png") for i in range(3)] == [1, 1, 1]
    assert "3 of 20 images are broken; replace or remove them" in said
    assert cli.run(["data", "check", str(photos), "--skip-broken", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["n_images"], facts["splits"]) == (17, {"train": 11, "val": 3, "test": 3})
    assert sorted(facts["broken"]) == ["cat/0.png", "cat/1.png", "cat/2.png"]
    assert facts["problems"] == []


def test_what_is_no_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "check", "digit"]) == 2
    assert "did you mean 'digits'?" in capsys.readouterr().err
    assert cli.run(["data", "check", "/dev/zero"]) == 2
    assert "is a pipe or a device" in capsys.readouterr().err


def test_numbers_taken_for_tags_are_a_problem(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(photos.rglob("*.png"))
    rows = [f"{file.relative_to(photos)},{1.5 + i}" for i, file in enumerate(files)]
    (photos / "numbers.csv").write_text("\n".join(["file,height", *rows]))
    line = ["data", "check", str(photos / "numbers.csv"), "--task", "multi-label", "--label-column", "height"]
    assert cli.run([*line, "--json"]) == 2
    assert (
        f"of {len(files)}), so there is nothing to learn"
        in json.loads(capsys.readouterr().out)["problems"][0]
    )
