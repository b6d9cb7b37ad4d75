"""The task segmentation: metrics against scikit-learn, what is kept, balance, words; a trained file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score

from hwnas.data import Data, load_data
from hwnas.exporting.export import export_model, onnx_accuracy
from hwnas.spaces import load_space
from hwnas.tasks import SEGMENTATION
from hwnas.tasks.mask_scores import IGNORED, confusions, palette
from hwnas.tasks.segmentation import Segmentation
from hwnas.training import train as training
from hwnas.training.pixel_models import pixel_models
from hwnas.training.recipe import Recipe
from hwnas.training.train import outputs_of, train
from targets.errors import UsageError

NAMES = ("ground", "road", "tree", "sky")


def masks(seed: int, n: int = 5, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, (n, 7, 7)).astype(np.uint8)


@pytest.mark.parametrize(("seed", "classes"), [(0, 4), (1, 2), (2, 3)])
def test_miou_and_pixel_accuracy_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    labels, answers = masks(seed), masks(seed + 10, classes=classes)
    labels[:, :2] = IGNORED
    known = labels != IGNORED
    found = SEGMENTATION.metrics(answers, labels)
    assert found["miou"] == pytest.approx(
        jaccard_score(labels[known], answers[known], average="macro"), abs=1e-12
    )
    assert found["pixel_acc"] == pytest.approx(accuracy_score(labels[known], answers[known]), abs=1e-12)
    rows = SEGMENTATION.quality(answers, labels, NAMES, probabilities=False)["by_class"]
    each = jaccard_score(labels[known], answers[known], average=None, labels=range(4), zero_division=0)
    assert [row["iou"] for row in rows] == pytest.approx(each.tolist(), abs=1e-12)


def test_a_class_that_neither_masks_nor_answers_show_has_no_iou() -> None:
    labels, answers = masks(0, classes=2), masks(1, classes=2)
    rows = SEGMENTATION.quality(answers, labels, NAMES, probabilities=False)["by_class"]
    assert [row["iou"] is None for row in rows] == [False, False, True, True]
    heading, table, sentences = SEGMENTATION.card(
        SEGMENTATION.quality(answers, labels, NAMES, probabilities=False)
    )
    assert len(heading) == len(table[0]) and table[3][2] == "–" and "Mean IoU" in sentences[0]


def test_resampled_images_score_as_if_they_were_scored_again() -> None:
    labels, answers = masks(3), masks(4)
    score = SEGMENTATION.scorer(answers, labels)
    places = np.array([0, 0, 3, 4, 1])
    assert score(places) == pytest.approx(SEGMENTATION.score(answers[places], labels[places]))


def test_pixels_that_are_ignored_change_neither_loss_nor_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 7, 7, requires_grad=True)
    labels = torch.from_numpy(masks(5, 2))
    labels[:, 3:] = IGNORED
    loss = SEGMENTATION.loss(logits, labels)
    kept = torch.nn.functional.cross_entropy(logits[:, :, :3], labels[:, :3].long())
    assert float(loss.detach()) == pytest.approx(float(kept.detach()), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[:, :, 3:] == 0).all() and (gradient[:, :, :3] != 0).all()
    labels[:] = IGNORED
    assert float(SEGMENTATION.loss(logits, labels).detach()) == 0


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = masks(6)
    labels[:, :5] = 0
    weighted = SEGMENTATION.balanced(labels)
    assert isinstance(weighted, Segmentation) and weighted.weights is not None
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels.ravel())
    assert weighted.weights == pytest.approx(expected.tolist())


def test_the_trivial_answer_is_the_most_frequent_class_of_the_training_masks() -> None:
    trained, tested = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    trained[0, :3], tested[0] = 2, 2
    trained[1] = 2
    # half of the pixels are of class 2: IoU 0.5, and 0 of class 0
    assert SEGMENTATION.trivial(trained, tested) == ("the most frequent class everywhere", 0.25)


def test_masks_differ_where_a_user_sees_it_and_agree_pixel_by_pixel() -> None:
    one = np.zeros((2, 20, 20), np.uint8)
    other = one.copy()
    other[0, 0, :4] = 1  # 1 % of the pixels
    other[1, 0, :5] = 1
    assert SEGMENTATION.unlike(one, other).tolist() == [False, True]
    assert SEGMENTATION.agreement(one, other) == pytest.approx(1 - 9 / 800)


def test_the_palette_is_that_of_pascal_voc() -> None:
    # from the development kit: aeroplane, bicycle, person, the border
    assert palette()[[1, 2, 15, 255]].tolist() == [[128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[9, 0], [9, 0]], r"show 1 class \(a\), so there is nothing to learn"),
        ([[9, 0], [9, 9]], r"show 1 class \(a\)"),
        ([[9, 9, 0], [9, 0, 9]], r"no training image shows c \(1 of 3 classes\)"),
    ],
)
def test_what_cannot_be_learned_is_refused(counts: list[list[int]], message: str) -> None:
    labels = np.array(counts)
    with pytest.raises(UsageError, match=message):
        SEGMENTATION.check("set", tuple("abc")[: labels.shape[1]], labels, np.array([True, False]))


def test_rare_and_absent_classes_are_told() -> None:
    notes = SEGMENTATION.notes(NAMES, np.array([[990, 5, 500, 0]]))
    assert "road (0.33 %)" in notes[0] and "no mask shows sky" in notes[1]


def test_few_outputs_are_held_at_once_and_the_score_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = torch.nn.Conv2d(3, 4, 1)
    batches = [(torch.randn(2, 3, 7, 7), torch.from_numpy(masks(i, 2))) for i in range(4)]
    whole = outputs_of(net, batches, SEGMENTATION)
    monkeypatch.setattr(training, "MOST_OUTPUT_BYTES", 1)
    parts = outputs_of(net, batches, SEGMENTATION)
    assert whole.kept.dtype == np.uint8 and whole.kept.shape == (8, 7, 7)
    assert (whole.kept == parts.kept).all() and (whole.labels == parts.labels).all()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


def test_confusions_count_rows_as_labels() -> None:
    label, answer = np.array([[[0, 1], [1, 255]]], np.uint8), np.array([[[0, 0], [1, 1]]], np.uint8)
    assert confusions(answer, label).tolist() == [[[1, 0], [1, 1]]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data("shape-masks", None, 0, root=tmp_path_factory.mktemp("home"), task="segmentation")


def test_the_embedded_set_has_fixed_splits_and_masks_of_all_classes(pictures: Data) -> None:
    assert [len(pictures.split(name)) for name in ("train", "val", "test")] == [1200, 300, 300]
    assert pictures.labels.shape == (1800, 32, 32) and pictures.images([0]).shape == (1, 3, 32, 32)
    assert np.unique(pictures.labels[pictures.split("val")]).tolist() == [0, 1, 2, 3, 4, 5]
    shown = pictures.task.shown(pictures.images([0])[0].numpy(), pictures.labels[0], pictures.labels[0])
    assert shown.shape == (3, 32, 3 * 32 + 2)
    told = pictures.task.told(pictures.labels[0], pictures.labels[0], pictures.class_names)
    assert told["label"].startswith("ground") and told["answer"].endswith("100 % of the pixels right")


@pytest.mark.slow
def test_a_network_learns_masks_and_its_file_answers_with_them(pictures: Data, tmp_path: Path) -> None:
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=6, width_mult=0.25, head="mask")
    net = space.build(space.sample(np.random.default_rng(0)))
    result = train(net, pictures, Recipe.for_data(1200, epochs=3), 0)
    trained, tested = (pictures.labels[pictures.split(name)] for name in ("train", "test"))
    trivial = pictures.task.trivial(trained, tested)[1]
    model = export_model(net, pictures, tmp_path, arch_id="a", network={}, dot="")
    score = onnx_accuracy(model.onnx, pictures, "test")
    assert score.logits.shape == (300, 32, 32) and score.accuracy > trivial + 0.05
    assert result.val_accuracy == pytest.approx(onnx_accuracy(model.onnx, pictures, "val").accuracy, abs=1e-3)
    assert json.loads(json.dumps(model.manifest))["task"] == "segmentation"


class Coloured:
    """Images whose colour is their mask, or where none of it is."""

    task = SEGMENTATION

    def __init__(self, told: bool, classes: int) -> None:
        rng = np.random.default_rng(0)
        self.labels = rng.integers(0, classes, (12, 8, 8)).astype(np.uint8)
        shown = self.labels if told else rng.integers(0, classes, self.labels.shape)
        self._images = torch.from_numpy(np.eye(3, dtype=np.uint8)[shown].transpose(0, 3, 1, 2) * 255)

    def split(self, name: str) -> np.ndarray:
        return {"train": np.arange(8), "val": np.arange(8, 10), "test": np.arange(10, 12)}[name]

    def images(self, indices: np.ndarray) -> torch.Tensor:
        return self._images[torch.as_tensor(indices)]


@pytest.mark.parametrize(("told", "classes"), [(True, 3), (True, 2), (False, 3)])
def test_a_linear_model_of_neighbourhoods_reads_what_colours_tell(told: bool, classes: int) -> None:
    (score,) = (fit(Coloured(told, classes), seed=0) for fit in pixel_models(SEGMENTATION).values())
    assert score.name == "linear" and score.options["neighbourhood_px"] == 5
    assert (score.test_accuracy == 1) if told else (score.test_accuracy < 0.6)


def test_the_page_tells_what_is_in_a_picture_of_masks() -> None:
    from hwnas.report.mistakes_section import picture_grid

    shows = SEGMENTATION.mistakes(masks(1), masks(2), NAMES)["shows"]
    drawn = str(picture_grid([{"label": "a", "answer": "b", "png": "AAAA"}], 5, shows))
    assert "pictures wide" in drawn and "its mask and the answer" in drawn
    assert "wide" not in str(picture_grid([{"label": "a", "answer": "b", "png": "AAAA"}], 5))
