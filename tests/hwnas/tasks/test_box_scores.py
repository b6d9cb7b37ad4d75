"""Average precision of boxes against pycocotools, which defines it; overlaps and matches by hand."""

import numpy as np
import pytest

from hwnas.tasks import DETECTION
from hwnas.tasks.box_scores import EMPTY, matched, overlaps
from tests.support.coco import coco


def random_rows(rng: np.random.Generator, n: int, most: int, classes: int) -> np.ndarray:
    """(n, most, 6): up to `most` boxes each, of any class, with edges in 0..1; the last column is 0."""
    rows = np.zeros((n, most, 6), np.float32)
    corner, sides = rng.uniform(0, 0.7, (n, most, 2)), rng.uniform(0.05, 0.3, (n, most, 2))
    rows[..., 1:3], rows[..., 3:5] = corner, corner + sides
    rows[..., 0] = rng.integers(0, classes, (n, most))
    rows[np.arange(most) >= rng.integers(0, most + 1, n)[:, None], 0] = EMPTY
    return rows


def near(rng: np.random.Generator, labels: np.ndarray, most: int, classes: int) -> np.ndarray:
    """Answers: each object once or twice, moved a little, some of another class; and boxes out of nowhere."""
    parts = [
        labels.copy(),
        labels[:, : labels.shape[1] // 2].copy(),
        random_rows(rng, len(labels), most, classes),
    ]
    for part in parts[:2]:
        part[..., 1:5] += rng.normal(0, 0.02, part[..., 1:5].shape)
        part[..., 3:5] = np.maximum(part[..., 3:5], part[..., 1:3] + 0.01)
        other = rng.random(part.shape[:2]) < 0.1
        part[..., 0] = np.where(
            other & (part[..., 0] >= 0), rng.integers(0, classes, part.shape[:2]), part[..., 0]
        )
    answers = np.concatenate(parts, axis=1)
    answers[..., 5] = rng.random(answers.shape[:2])
    return answers


@pytest.mark.parametrize("crowds", [0.0, 0.2])
@pytest.mark.parametrize(
    ("seed", "n", "most", "classes"), [(0, 40, 8, 3), (1, 1, 6, 1), (2, 15, 30, 2), (3, 60, 3, 5)]
)
def test_map_is_that_of_pycocotools(seed: int, n: int, most: int, classes: int, crowds: float) -> None:
    rng = np.random.default_rng(seed)
    labels = random_rows(rng, n, most, classes)
    answers = near(rng, labels, most, classes)
    labels[..., 5] = rng.random(labels.shape[:2]) < crowds
    labels[0, 0] = (0, 0.1, 0.1, 0.3, 0.3, 0)  # there is an object
    run = coco(labels, answers, classes)
    got = DETECTION.metrics(answers, labels)
    assert got["map"] == pytest.approx(run.stats[0], abs=1e-9)
    assert got["map50"] == pytest.approx(run.stats[1], abs=1e-9)
    each = run.eval["precision"][:, :, :, 0, 2].mean(axis=1).T  # (classes, thresholds); -1 without objects
    mine = np.nan_to_num(matched(answers, labels, classes).precisions(), nan=-1)
    assert mine == pytest.approx(each, abs=1e-9)


def test_more_than_a_hundred_answers_of_an_image_do_not_count() -> None:
    rng = np.random.default_rng(5)
    labels = random_rows(rng, 4, 60, 1)
    labels[..., 0] = 0
    answers = near(rng, labels, 60, 1)
    assert (answers[..., 0] >= 0).sum(axis=1).max() > 100
    run = coco(labels, answers, 1)
    assert DETECTION.metrics(answers, labels)["map"] == pytest.approx(run.stats[0], abs=1e-9)


def test_resampled_images_score_as_if_they_were_scored_again() -> None:
    rng = np.random.default_rng(7)
    labels = random_rows(rng, 9, 5, 3)
    answers = near(rng, labels, 4, 3)
    score = DETECTION.scorer(answers, labels)
    for _ in range(5):
        places = rng.integers(0, 9, 9)
        assert score(places) == pytest.approx(DETECTION.score(answers[places], labels[places]), abs=1e-12)


def test_without_objects_or_answers_the_score_is_nothing() -> None:
    none, one = np.full((2, 1, 6), EMPTY, np.float32), np.zeros((2, 1, 6), np.float32)
    one[..., 1:] = (0.1, 0.1, 0.5, 0.5, 0)
    assert DETECTION.metrics(none, none) == {"map": 0.0, "map50": 0.0}
    assert DETECTION.metrics(none, one) == {"map": 0.0, "map50": 0.0}
    crowd = one.copy()
    crowd[..., 5] = 1
    assert DETECTION.metrics(one, crowd)["map"] == 0.0  # nothing that could be found


def test_overlaps_by_hand() -> None:
    boxes = np.array([[0, 0, 0.4, 0.4], [0, 0, 0.2, 0.4], [0.5, 0.5, 1, 1]])
    # the second is half of the first; of a crowd the share of the first box that is inside counts
    assert overlaps(boxes, boxes[:1]).ravel().tolist() == pytest.approx([1, 0.5, 0])
    assert overlaps(boxes[1:2], boxes[:1], np.array([True])).item() == pytest.approx(1)
