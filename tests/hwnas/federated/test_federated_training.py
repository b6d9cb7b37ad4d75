"""`hwnas train --federated` as a user calls it: four workers, a part that is missing, a resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import cli
from hwnas.data import load_data
from hwnas.federated.average import average
from hwnas.spaces import load_space
from targets.checksummed import read_checksummed
from tests.support.spaces import TINY_STAGES

pytestmark = pytest.mark.slow

NAMES = ("east", "north", "south", "west")


def write_digits(folder: Path, indices: np.ndarray) -> None:
    images, labels = load_digits(return_X_y=True)
    for index in indices:
        path = folder / f"digit-{labels[index]}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[index].reshape(8, 8) * 15.9).astype(np.uint8)).resize((16, 16)).save(path)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, beside the folders of four parts, which have two or three of the three classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)
    labels = load_digits(return_X_y=True)[1]
    own = [np.flatnonzero(labels == k) for k in range(3)]
    write_digits(tmp_path / "public", np.concatenate([o[:30] for o in own]))
    for number, name in enumerate(NAMES):
        few = [o[30 + 30 * number : 60 + 30 * number] for k, o in enumerate(own) if k != number]
        write_digits(tmp_path / name, np.concatenate(few))
    tables = "".join(f'[parts.{name}]\ndata = "{name}"\n' for name in NAMES)
    (tmp_path / "parts.toml").write_text(f"min_parts = 3\nwait_s = 300\n{tables}")
    (tmp_path / "cluster.toml").write_text('kind = "local"\nworkers = 4\n')
    (tmp_path / "tiny.toml").write_text(TINY_STAGES)
    data = load_data("public", 16, 0, root=tmp_path / "home")
    space = load_space("tiny.toml", **data.network_shape)
    arch = space.key(space.sample(np.random.default_rng(0)))
    return [
        *("train", "--genotype", arch, "--space", "tiny.toml", "--data", "public/", "--image-size", "16"),
        *(
            "--recipe",
            "standard",
            "--batch-size",
            "24",
            "--federated",
            "parts.toml",
            "--cluster",
            "cluster.toml",
        ),
        *("--epochs", "3", "--out", "run", "--json"),
    ]


def test_four_workers_learn_together_and_a_stop_costs_a_round(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few parts, then a part that is missing and Ctrl-C, both on this machine; then a cluster of four."""
    alone = [word for word in words if word not in ("--cluster", "cluster.toml")]
    shutil.move("west", "away")
    shutil.move("south", "far")
    assert cli.run(alone) == 4
    told = capsys.readouterr().err
    assert "round 1 goes on without part west" in told
    assert "round 1 of 3: 2 of 4 parts came, and min_parts is 3" in told

    shutil.move("far", "south")
    called: list[list] = []

    def then_stop(states: list, counts: list) -> dict:
        called.append(counts)
        if len(called) == 2:
            raise KeyboardInterrupt
        return average(states, counts)

    with monkeypatch.context() as context:
        context.setattr("hwnas.federated.rounds.average", then_stop)
        assert cli.run(alone) == 130
    capsys.readouterr()

    shutil.move("away", "west")
    assert cli.run(words) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["epochs"] == 3 and 0 <= found["test_accuracy"] <= 1 and Path(found["onnx"]).is_file()
    facts = read_checksummed(Path(found["folder"]) / "parts.json", "parts")
    assert [sorted(row["parts"]) for row in facts["rounds"]] == [
        ["east", "north", "south"],
        [*NAMES],
        [*NAMES],
    ]
    assert all(0 <= facts["parts"][name]["test_accuracy"] <= 1 for name in NAMES)
    rounds = read_checksummed(Path(found["folder"]) / "result.json", "training")["epochs"]
    seconds = [row["seconds"] for row in rounds]
    assert seconds == sorted(seconds) and seconds[0] > 0
    # What is in the run of it are weights and figures: no image, and no name of one.
    names = {path.name for path in Path("run").rglob("*") if path.is_file()}
    assert not any(name.endswith(".png") for name in names)
    sent = (Path(found["folder"]) / "rounds/east/result.json").read_text()
    assert set(json.loads(sent)) == {"n_test", "test_accuracy", "sha256"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--recipe", "strong"), "--ema"),
        (("--patience", "3"), "--patience"),
        (("--federated", "none.toml"), "none.toml"),
    ],
)
def test_what_parts_do_not_learn_by_is_refused(
    words: list[str], more: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*words, *more]) == 2
    assert told in capsys.readouterr().err and not Path("run").exists()
