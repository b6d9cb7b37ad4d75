"""What the chosen network gets wrong, and what operations are worth, against counts and a known truth."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, recall_score

from hwnas.exporting.onnx_score import OnnxScore
from hwnas.pipeline.main_job.mistakes import picture
from hwnas.pipeline.main_job.operation_worth import operation_worth, option_counts
from hwnas.pipeline.main_job.publish import point_at
from hwnas.spaces import load_space
from hwnas.tasks.class_quality import confusion, sureness, wrong_first


@pytest.fixture
def score() -> OnnxScore:
    rng = np.random.default_rng(0)
    return OnnxScore(rng.normal(size=(200, 4)).astype(np.float32), rng.integers(0, 4, 200))


def test_counts_are_those_of_scikit_learn(score: OnnxScore) -> None:
    names = ["a", "b", "c", "d"]
    answer = confusion(score.logits, score.labels, names)
    matrix = confusion_matrix(score.labels, score.predicted)
    told = {(c["label"], c["answer"]): c["n"] for c in answer["confusions"]}
    off = {(names[i], names[j]): matrix[i, j] for i in range(4) for j in range(4) if i != j and matrix[i, j]}
    assert told == off
    assert [c["n"] for c in answer["confusions"]] == sorted(off.values(), reverse=True)
    rates = [c["right"] / c["n"] for c in answer["classes"]]
    assert rates == pytest.approx(recall_score(score.labels, score.predicted, average=None))


def test_wrong_answers_come_the_surest_first(score: OnnxScore) -> None:
    places = wrong_first(score.logits, score.labels)
    assert sorted(places) == np.flatnonzero(score.predicted != score.labels).tolist()
    sure = np.array(sureness(score.logits))[places]
    assert (np.diff(sure) <= 0).all()
    softmax = np.exp(score.logits) / np.exp(score.logits).sum(1, keepdims=True)
    assert sure == pytest.approx(softmax.max(1)[places], abs=1e-5)


@pytest.mark.parametrize(("channels", "side", "shown"), [(1, 16, 16), (3, 32, 32), (3, 224, 96)])
def test_a_picture_is_a_small_png(channels: int, side: int, shown: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (channels, side, side), dtype=np.uint8)
    drawn = Image.open(io.BytesIO(base64.b64decode(picture(image))))
    assert drawn.size == (shown, shown)
    if side == shown:
        assert (np.asarray(drawn).reshape(side, side, channels) == image.transpose(1, 2, 0)).all()


def test_the_worth_of_an_operation_is_found_where_it_is_known() -> None:
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    rng = np.random.default_rng(2)
    archs = [space.sample(rng) for _ in range(300)]
    names, counts = option_counts(space, archs)
    latency_ms = rng.uniform(1, 3, len(archs))
    # 2 points per layer of the first option, -1 per layer of the second, 10 per unit of log latency.
    accuracy = 0.5 + 0.02 * counts[:, 0] - 0.01 * counts[:, 1] + 0.1 * np.log(latency_ms)
    accuracy += rng.normal(0, 0.002, len(archs))
    rows = [
        {"arch": space.key(arch), "val_accuracy": float(a), "latency_ms": float(ms)}
        for arch, a, ms in zip(archs, accuracy, latency_ms, strict=True)
    ]
    worth = {row["option"]: row for row in operation_worth(space, rows)}
    assert worth[names[0]]["points"] == pytest.approx(2, abs=0.2)
    assert worth[names[1]]["points"] == pytest.approx(-1, abs=0.2)
    assert worth[names[0]]["low"] > 0 > worth[names[1]]["high"]
    assert operation_worth(space, rows[:5]) == []


def test_best_leads_to_the_chosen_network_and_moves(tmp_path, monkeypatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    point_at(tmp_path, "a")
    point_at(tmp_path, "b")
    best = tmp_path / "best"
    assert best.is_symlink() and best.readlink().as_posix() == "b"  # relative: a moved run keeps it

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(type(tmp_path), "symlink_to", refuse)
    point_at(tmp_path, "a")
    assert not best.is_symlink() and (best / "manifest.json").read_text() == "a"
    point_at(tmp_path, "b")
    assert (best / "manifest.json").read_text() == "b"
