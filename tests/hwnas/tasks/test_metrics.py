"""Metrics, losses and baselines of tasks against scikit-learn, torch and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    root_mean_squared_error,
    top_k_accuracy_score,
)
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from hwnas.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, TASKS, Task, task_named
from hwnas.tasks.multilabel import average_precision
from targets.errors import UsageError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_accuracy_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    answers, labels = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(0, 4, 300)
    assert CLASSIFICATION.metrics(answers, labels) == {"accuracy": accuracy_score(labels, answers.argmax(1))}


def test_other_scores_of_classes_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    answers, labels = rng.normal(size=(300, 8)).astype(np.float32), rng.integers(0, 8, 300)
    top5, by_loss = task_named("classification@top5"), task_named("classification@likelihood")
    assert top5.metrics(answers, labels) == {
        "top5": pytest.approx(top_k_accuracy_score(labels, answers, k=5)),
        "top1": accuracy_score(labels, answers.argmax(1)),
    }
    exact = np.exp(answers.astype(np.float64))
    probabilities = exact / exact.sum(axis=1, keepdims=True)
    loss = log_loss(labels, probabilities)
    assert by_loss.metrics(answers, labels)["logloss"] == pytest.approx(loss, rel=1e-5)
    assert by_loss.score(answers, labels) == pytest.approx(np.exp(-loss), rel=1e-5)
    assert by_loss.score(by_loss.plain(probabilities), labels) == pytest.approx(np.exp(-loss), rel=1e-5)
    assert CLASSIFICATION.scored_by("top5") == top5 and top5.scored_by("accuracy") == CLASSIFICATION


def test_what_needs_no_network_by_other_scores() -> None:
    trained, tested = np.repeat(np.arange(8), [3, 1, 1, 1, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 2, 3, 4, 5])
    assert task_named("classification@top5").trivial(trained, tested)[1] == 7 / 8
    expected = (0.3**3 * 0.1**5) ** (1 / 8)
    assert task_named("classification@likelihood").trivial(trained, tested)[1] == pytest.approx(expected)


def test_all_answers_alike_are_no_better_than_chance_in_the_top_five() -> None:
    """A network that says the same of all eight classes has the first five in order."""
    labels = np.arange(8)
    assert task_named("classification@top5").score(np.zeros((8, 8), np.float32), labels) == 5 / 8


def test_five_classes_have_no_top_five() -> None:
    with pytest.raises(UsageError, match=r"photos has 5 classes, which are always among the five"):
        task_named("classification@top5").check("photos", "abcde", np.arange(5), np.ones(5, bool))


@pytest.mark.parametrize("decimals", [6, 1, 0], ids=["apart", "ties", "many ties"])
def test_metrics_of_tags_are_those_of_scikit_learn(rng: np.random.Generator, decimals: int) -> None:
    answers = rng.normal(size=(400, 5)).round(decimals).astype(np.float32)
    labels = (rng.random((400, 5)) < [0.5, 0.3, 0.1, 0.02, 0.9]).astype(np.float32)
    metrics = MULTI_LABEL.metrics(answers, labels)
    assert metrics["map"] == pytest.approx(
        average_precision_score(labels, answers, average="macro"), abs=1e-6
    )
    assert metrics["f1"] == pytest.approx(f1_score(labels, answers > 0, average="macro"), abs=1e-6)
    quality = MULTI_LABEL.quality(answers, labels, "abcde", probabilities=False)
    expected = precision_recall_fscore_support(labels, answers > 0, zero_division=0)
    for key, column in zip(("precision", "recall", "f1"), expected, strict=False):
        assert [row[key] for row in quality["by_tag"]] == pytest.approx(list(column), abs=1e-6)


def test_a_tag_that_no_sample_has_is_left_out_of_the_mean_precision() -> None:
    answers, labels = np.array([[2, 1], [1, 2]], np.float32), np.array([[1, 0], [0, 0]], np.float32)
    assert MULTI_LABEL.metrics(answers, labels)["map"] == 1.0
    # Found second of two: precision 1/2 at recall 1.
    assert average_precision(labels[:, 0], -answers[:, 0]) == 0.5


@pytest.mark.parametrize("k", [1, 3])
def test_metrics_of_numbers_are_those_of_scikit_learn(rng: np.random.Generator, k: int) -> None:
    labels = (rng.normal(size=(300, k)) * [30, 0.1, 7][:k] + [100, -1, 0][:k]).astype(np.float32)
    answers = (labels + rng.normal(size=(300, k)) * [3, 0.05, 9][:k]).astype(np.float32)
    metrics = REGRESSION.metrics(answers, labels)
    assert metrics["r2"] == pytest.approx(r2_score(labels, answers), abs=1e-6)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(labels, answers), abs=1e-5)
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(labels, answers), abs=1e-5)
    quality = REGRESSION.quality(answers, labels, "xyz"[:k], probabilities=False)
    each = r2_score(labels, answers, multioutput="raw_values")
    assert [row["r2"] for row in quality["by_target"]] == pytest.approx(list(each), abs=1e-6)


def test_a_score_is_never_below_0_and_says_what_needs_no_network(rng: np.random.Generator) -> None:
    labels = rng.normal(size=(50, 1)).astype(np.float32)
    assert REGRESSION.metrics(-labels, labels)["r2"] < 0
    assert REGRESSION.score(-labels, labels) == 0.0
    # R² of the mean of other samples is at most 0; a constant answer has the share of a tag as its precision.
    assert REGRESSION.trivial(labels[:25], labels[25:])[1] == 0.0
    tags = (rng.random((200, 3)) < 0.3).astype(np.float32)
    constant = np.zeros((200, 3), np.float32)
    assert MULTI_LABEL.trivial(tags, tags)[1] == pytest.approx(
        average_precision_score(tags, constant), abs=1e-6
    )


def test_the_losses_are_torchs(rng: np.random.Generator) -> None:
    outputs = torch.from_numpy(rng.normal(size=(64, 3)).astype(np.float32))
    tags = torch.from_numpy((rng.random((64, 3)) < 0.3).astype(np.float32))
    expected = 3 * functional.binary_cross_entropy_with_logits(outputs, tags)
    assert MULTI_LABEL.loss(outputs, tags).item() == pytest.approx(expected.item(), rel=1e-6)
    assert MULTI_LABEL.loss(outputs, tags, reduction="sum").item() == pytest.approx(
        64 * expected.item(), rel=1e-5
    )
    numbers = torch.from_numpy((rng.normal(size=(64, 3)) * 5 + 40).astype(np.float32))
    task = REGRESSION.fitted(numbers.numpy())
    standard = (numbers - numbers.mean(0)) / numbers.std(0, unbiased=False)
    huber = functional.smooth_l1_loss(outputs, standard)
    assert task.loss(outputs, numbers).item() == pytest.approx(huber.item(), rel=1e-5)
    labels = torch.from_numpy(rng.integers(0, 3, 64))
    for smoothing in (0.0, 0.1):
        cross_entropy = functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
        assert CLASSIFICATION.loss(outputs, labels, smoothing).item() == cross_entropy.item()


def test_class_weights_are_scikit_learns_balanced_ones(rng: np.random.Generator) -> None:
    labels = rng.choice(3, 200, p=[0.8, 0.15, 0.05])
    weighted = CLASSIFICATION.balanced(labels)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    outputs = torch.from_numpy(rng.normal(size=(200, 3)).astype(np.float32))
    weights = torch.from_numpy(expected.astype(np.float32))
    loss = functional.cross_entropy(outputs, torch.from_numpy(labels), weight=weights)
    assert weighted.loss(outputs, torch.from_numpy(labels)).item() == pytest.approx(loss.item(), rel=1e-6)
    tags = np.zeros((100, 1), np.float32)
    tags[:20] = 1
    # Four absent for each present one: present ones weigh four times, so that both sides weigh 80.
    zero = torch.zeros(100, 1)
    balanced = MULTI_LABEL.balanced(tags).loss(zero, torch.from_numpy(tags), reduction="sum")
    assert balanced.item() == pytest.approx(160 * np.log(2), rel=1e-6)
    with pytest.raises(UsageError, match="regression has no classes"):
        REGRESSION.balanced(tags)


def test_an_answer_behind_a_sigmoid_decides_and_orders_as_the_logit(rng: np.random.Generator) -> None:
    logits = rng.normal(scale=4, size=(50, 3)).astype(np.float32)
    plain = MULTI_LABEL.plain(torch.sigmoid(torch.from_numpy(logits)).numpy())
    np.testing.assert_allclose(plain, logits, atol=0.02)
    assert not MULTI_LABEL.unlike(plain, logits).any()


@pytest.mark.parametrize("task", TASKS.parts.values(), ids=lambda task: task.name)
def test_a_task_is_found_by_its_name(task: Task) -> None:
    assert task_named(task.name) is task
    assert task.metric.name.isalnum() and task.metric.name == task.metric.name.lower()


def test_no_name_is_classification_and_a_wrong_one_is_told_with_the_known_ones() -> None:
    assert task_named(None) is CLASSIFICATION
    with pytest.raises(UsageError, match=r"unknown task 'regresion'.*did you mean 'regression'"):
        task_named("regresion")
