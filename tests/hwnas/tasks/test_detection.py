"""The task detection: cells, losses and boxes by hand and by torchvision, words, a trained file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou, nms, sigmoid_focal_loss

from hwnas.data import Data, load_data
from hwnas.exporting.export import export_model, onnx_accuracy
from hwnas.spaces import load_space
from hwnas.tasks import DETECTION
from hwnas.tasks.box_decode import LEAST_SCORE, MOST_OVERLAP, decoded, grid, sides_of, without_copies
from hwnas.tasks.box_loss import assigned, boxes_of, giou
from hwnas.tasks.box_scores import EMPTY, rows_of
from hwnas.training.recipe import Recipe
from hwnas.training.train import train
from targets.errors import UsageError

NAMES = ("cat", "dog", "bird")
CELLS = 80  # of 8 x 8 and 4 x 4


def labels(*rows: tuple[float, ...], width: int = 4) -> torch.Tensor:
    """One image with these rows."""
    out = torch.zeros(1, width, 6)
    out[..., 0] = EMPTY
    for place, row in enumerate(rows):
        out[0, place] = torch.tensor(row)
    return out


def perfect(rows: torch.Tensor, k: int = 3) -> torch.Tensor:
    """(1, 4 + k, cells): what a network would answer that knows the label."""
    targets = assigned(rows, CELLS)
    places = torch.from_numpy(grid(CELLS)).float()
    edges = targets.edges[0]
    reach = torch.cat([places[:, :2] - edges[:, :2], edges[:, 2:] - places[:, :2]], 1) / places[:, 2:]
    outputs = torch.full((1, 4 + k, CELLS), -12.0)
    for cell in torch.nonzero(targets.learns[0]).ravel().tolist():
        outputs[0, :4, cell] = reach[cell].clamp(min=1e-3).log()
        outputs[0, 4 + int(targets.classes[0, cell]), cell] = 12.0
    return outputs


def test_two_grids_of_which_one_has_half_the_side() -> None:
    assert [sides_of(n) for n in (80, 13, 320, 2, 218)] == [(8, 4), (3, 2), (16, 8), (1, 1), (13, 7)]
    with pytest.raises(ValueError, match="no two grids"):
        sides_of(81)


def test_small_objects_are_of_the_fine_grid_and_large_ones_of_the_coarse() -> None:
    rows = labels((0, 0.0, 0.0, 0.25, 0.25, 0), (1, 0.1, 0.1, 0.95, 0.95, 0))
    targets = assigned(rows, CELLS)
    learns = targets.learns[0].nonzero().ravel()
    fine = learns[learns < 64]
    # the small one is two cells wide: all four that it covers lie within 1.5 cells of its centre
    assert fine.tolist() == [0, 1, 8, 9] and (targets.classes[0, fine] == 0).all()
    coarse = learns[learns >= 64]
    assert len(coarse) and (targets.classes[0, coarse] == 1).all()


def test_the_smaller_of_two_objects_has_the_cell_and_a_tiny_one_has_its_own() -> None:
    rows = labels((0, 0.0, 0.0, 0.5, 0.5, 0), (1, 0.15, 0.15, 0.25, 0.25, 0), (2, 0.94, 0.94, 0.95, 0.95, 0))
    targets = assigned(rows, CELLS)
    assert targets.classes[0, 1 * 8 + 1] == 1  # of centre 0.1875; that of the box is 0.2
    assert bool(targets.learns[0, 63]) and targets.classes[0, 63] == 2


def test_cells_of_a_crowd_say_nothing() -> None:
    rows = labels((0, 0.0, 0.0, 0.5, 1.0, 1))
    targets = assigned(rows, CELLS)
    assert not targets.learns.any()
    assert targets.counts[0, :64].reshape(8, 8)[:, :4].sum() == 0 and targets.counts[0, :64].sum() == 32
    outputs = torch.randn(1, 7, CELLS, requires_grad=True)
    (gradient,) = torch.autograd.grad(DETECTION.loss(outputs, rows), outputs)
    assert (gradient[0, :, :64].reshape(7, 8, 8)[:, :, :4] == 0).all()
    assert (gradient[0, 4:, :64].reshape(3, 8, 8)[:, :, 4:] != 0).all()


def test_losses_are_those_of_torchvision() -> None:
    torch.manual_seed(0)
    low = torch.rand(6, 2) / 2
    a, b = (torch.cat([low, low + 0.05 + torch.rand(6, 2) / 2], 1) for _ in range(2))
    assert torch.allclose(giou(a, b), generalized_box_iou(a, b).diagonal(), atol=1e-5)
    rows = labels((2, 0.1, 0.1, 0.4, 0.5, 0))
    outputs = torch.randn(1, 7, CELLS)
    targets = assigned(rows, CELLS)
    true = torch.zeros(1, CELLS, 3)
    true[0, :, 2] = targets.learns[0].float()
    n = int(targets.learns.sum())
    focal = sigmoid_focal_loss(outputs[:, 4:].transpose(1, 2), true, alpha=0.25, gamma=2, reduction="sum")
    at = targets.learns[0]
    boxes = (1 - generalized_box_iou(boxes_of(outputs)[0, at], targets.edges[0, at]).diagonal()).sum()
    assert float(DETECTION.loss(outputs, rows)) == pytest.approx(float(focal + boxes) / n, rel=1e-4)
    twice = DETECTION.loss(outputs.repeat(2, 1, 1), rows.repeat(2, 1, 1), reduction="sum")
    assert float(twice) == pytest.approx(2 * float(focal + boxes) / n, rel=1e-4)


def test_what_knows_the_objects_is_decoded_to_them() -> None:
    rows = labels((0, 0.1, 0.2, 0.4, 0.5, 0), (2, 0.5, 0.4, 0.95, 0.9, 0))
    outputs = perfect(rows)
    answers = DETECTION.kept(outputs.numpy(), rows.numpy())
    assert answers.shape == (1, 100, 6)
    found = rows_of(answers[0])
    assert found[np.argsort(found[:, 0]), :5] == pytest.approx(rows[0, :2, :5].numpy(), abs=1e-3)
    assert DETECTION.metrics(answers, rows.numpy()) == pytest.approx({"map": 1.0, "map50": 1.0})
    assert float(DETECTION.right(outputs, rows)) == pytest.approx(1.0)
    assert DETECTION.right(outputs, labels()) == 1.0


def test_copies_are_dropped_as_torchvision_drops_them() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (60, 2))
    edges = np.concatenate([low, low + rng.uniform(0.1, 0.4, (60, 2))], 1)
    classes = np.zeros(60, np.int64)
    theirs = nms(torch.from_numpy(edges), torch.linspace(1, 0.1, 60).double(), MOST_OVERLAP)
    assert without_copies(edges, classes).tolist() == theirs.tolist()
    assert len(without_copies(edges, np.arange(60))) == 60  # of other classes all stay


def test_random_outputs_are_decoded_to_boxes_inside_the_image() -> None:
    outputs = np.random.default_rng(0).normal(0, 3, (3, 9, CELLS)).astype(np.float32)
    answers = decoded(outputs)
    for answer in answers:
        rows = rows_of(answer)
        assert 0 < len(rows) <= 100 and (np.diff(rows[:, 5]) <= 0).all() and rows[-1, 5] > LEAST_SCORE
        assert (rows[:, 1:5] >= 0).all() and (rows[:, 1:5] <= 1).all() and (rows[:, 1:3] < rows[:, 3:5]).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(EMPTY, 0, 0, 0, 0, 0), (0, 0, 0, 1, 1, 0)], "no training image has an object"),
        ([(0, 0, 0, 1, 1, 1), (0, 0, 0, 1, 1, 0)], "no training image has an object"),
        ([(0, 0, 0, 1, 1, 0), (1, 0, 0, 1, 1, 0)], r"no training image shows dog \(1 of 3 classes\)"),
    ],
)
def test_what_cannot_be_learned_is_refused(rows: list[tuple[float, ...]], message: str) -> None:
    values = np.array(rows, np.float32)[:, None]
    with pytest.raises(UsageError, match=message):
        DETECTION.check("set", NAMES, values, np.array([True, False]))


def test_rare_and_absent_classes_and_images_without_objects_are_told() -> None:
    values = np.zeros((100, 1, 6), np.float32)
    values[:98, 0, 0], values[98, 0, 0], values[99, 0, 0] = 0, 1, EMPTY
    notes = DETECTION.notes(NAMES, values)
    assert notes[0] == "99 objects on 100 training images"
    assert notes[1] == "rare classes: dog (1)" and "no box shows bird" in notes[2]
    members = dict(DETECTION.members(NAMES, values))
    assert [int(there.sum()) for there in members.values()] == [98, 1, 0, 1] and "(no object)" in members


def test_the_trivial_answer_is_the_mean_box_of_the_most_frequent_class() -> None:
    values = labels((0, 0.2, 0.2, 0.6, 0.6, 0), (0, 0.4, 0.4, 0.8, 0.8, 0), (1, 0, 0, 1, 1, 0)).numpy()
    tested = labels((0, 0.3, 0.3, 0.7, 0.7, 0)).numpy()
    what, score = DETECTION.trivial(values, tested)
    assert "mean box of the most frequent class" in what and score == pytest.approx(1.0)


def test_answers_differ_where_a_user_sees_it() -> None:
    one = np.array([[(0, 0.1, 0.1, 0.5, 0.5, 0.9), (1, 0, 0, 1, 1, 0.1)]] * 4)
    other = one.copy()
    other[1, 0, 1:5] += 0.02  # moved a little: IoU 0.82
    other[2, 0, 0] = 1
    other[3, 0, 5] = 0.2  # not shown any more, but still half as sure
    assert DETECTION.unlike(one, other).tolist() == [False, False, True, False]
    assert DETECTION.agreement(one, other) == pytest.approx(0.75)


def test_words_tables_and_pictures() -> None:
    true = labels((0, 0.1, 0.1, 0.4, 0.4, 0), (2, 0.5, 0.5, 0.9, 0.9, 0)).numpy()
    answers = np.array([[(0, 0.1, 0.1, 0.4, 0.4, 0.9), (1, 0.5, 0.5, 0.9, 0.9, 0.8), (0, 0, 0, 1, 1, 0.1)]])
    told = DETECTION.told(answers[0], true[0], NAMES)
    assert told == {"label": "1 cat, 1 bird", "answer": "1 cat, 1 dog; 1 of 2 found"}
    quality = json.loads(json.dumps(DETECTION.quality(answers, true, NAMES, probabilities=False)))
    assert [row["found"] for row in quality["by_class"]] == [1.0, None, 0.0]
    assert [row["false_alarms"] for row in quality["by_class"]] == [0, 1, 0]
    head, rows, sentences = DETECTION.card(quality)
    assert len(head) == len(rows[0]) and rows[1][2] == "–" and "COCO" in sentences[0]
    assert len(DETECTION.mistakes(answers, true, NAMES)["table"]["rows"]) == 3
    assert DETECTION.worst(answers, true).tolist() == [0]
    assert DETECTION.margin(answers, true) == pytest.approx([0.5 * 0.8])
    shown = DETECTION.shown(np.zeros((1, 24, 24), np.uint8), true[0], answers[0])
    assert shown.shape == (3, 24, 49) and shown[:, 2, 2].tolist() == [128, 0, 0]  # a corner of the first box
    assert DETECTION.golden(NAMES, true[0])["label"][1]["class"] == "bird"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data("shape-boxes", None, 0, root=tmp_path_factory.mktemp("home"), task="detection")


def test_the_embedded_set_has_fixed_splits_and_boxes_of_all_classes(pictures: Data) -> None:
    assert [len(pictures.split(name)) for name in ("train", "val", "test")] == [1200, 300, 300]
    rows = np.concatenate([rows_of(image) for image in pictures.labels])
    assert pictures.labels.shape == (1800, 4, 6) and np.bincount(rows[:, 0].astype(int)).min() > 500
    assert (rows[:, 1:3] < rows[:, 3:5]).all() and 0 < rows[:, 5].mean() < 0.1
    assert any("objects on 1200 training images" in note for note in pictures.notes)


@pytest.mark.slow
def test_a_network_learns_boxes_and_its_file_answers_with_them(pictures: Data, tmp_path: Path) -> None:
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=5, width_mult=0.25, head="boxes")
    net = space.build(space.sample(np.random.default_rng(0)))
    result = train(net, pictures, Recipe.for_data(1200, epochs=5), 0)
    trained, tested = (pictures.labels[pictures.split(name)] for name in ("train", "test"))
    trivial = pictures.task.trivial(trained, tested)[1]
    model = export_model(net, pictures, tmp_path, arch_id="a", network={}, dot="")
    score = onnx_accuracy(model.onnx, pictures, "test")
    assert score.logits.shape == (300, 100, 6) and score.accuracy > trivial + 0.02
    assert result.val_accuracy == pytest.approx(onnx_accuracy(model.onnx, pictures, "val").accuracy, abs=1e-3)
    assert json.loads(json.dumps(model.manifest))["task"] == "detection"
