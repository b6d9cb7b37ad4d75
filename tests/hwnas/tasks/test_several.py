"""Several tasks at once: their spelling, what heads read, figures against scikit-learn and torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, r2_score
from torch import nn
from torch.nn import functional

from hwnas.tasks import Labels, LabelTable, Task, task_named
from targets.errors import UsageError

NAME = "classification:kind+regression:age+multi-label:ring,watch"
ROWS = [("b", "30", "1", "0"), ("a", "40", "0", "1"), ("c", "20", "1", "1"), ("a", "50", "0", "0")] * 5
N = len(ROWS)


def read(name: str = NAME, rows: Sequence[tuple[str, ...]] = ROWS) -> tuple[Task, Labels]:
    table = LabelTable(
        "t.csv", ("kind", "age", "ring", "watch"), rows, [f"{i}.png" for i in range(len(rows))]
    )
    labels = task_named(name).read(table)
    assert labels.task is not None
    return labels.task.fitted(labels.values), labels


def outputs(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, 6)).astype(np.float32)


def test_each_head_reads_its_columns() -> None:
    task, labels = read()
    assert labels.names == ("kind: a", "kind: b", "kind: c", "age", "ring: ring", "ring: watch")
    assert labels.values[:2].tolist() == [[1, 30, 1, 0], [0, 40, 0, 1]]
    assert dict(task.file_outputs) == {"kind": ("a", "b", "c"), "age": ("age",), "ring": ("ring", "watch")}
    assert task_named(NAME).readings == ("top", "values", "above")


def test_metrics_are_those_of_scikit_learn_and_the_objective_their_mean() -> None:
    task, labels = read()
    raw, values = outputs(), labels.values
    got = task.answers(raw)
    metrics = task.metrics(got, values)
    accuracy = accuracy_score(values[:, 0], got[:, :3].argmax(1))
    r2 = max(0.0, r2_score(values[:, 1], got[:, 3]))
    precision = average_precision_score(values[:, 2:], got[:, 4:])
    assert metrics["kind.accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert metrics["ring.map"] == pytest.approx(precision, abs=1e-6)
    assert metrics["meanscore"] == pytest.approx((accuracy + r2 + precision) / 3, abs=1e-6)
    assert task.score(got, values) == metrics[task.metric.name] == metrics["meanscore"]
    chosen, _ = read(f"{NAME}+objective:kind")
    assert (chosen.metric.name, chosen.metric.label, chosen.metric.counted) == (
        "headscore",
        "kind accuracy",
        True,
    )
    assert chosen.score(got, values) == pytest.approx(accuracy)


def head_losses(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """By torch alone."""
    age = (y[:, 1:2] - y[:, 1].mean()) / y[:, 1].std(correction=0)
    return [
        functional.cross_entropy(x[:, :3], y[:, 0].long()),
        functional.smooth_l1_loss(x[:, 3:4], age),
        functional.binary_cross_entropy_with_logits(x[:, 4:], y[:, 2:], reduction="none").sum(1).mean(),
    ]


@pytest.mark.parametrize(("weights", "factors"), [("", (1, 1, 1)), ("+weights:2,1,0.5", (2, 1, 0.5))])
def test_the_loss_is_the_weighted_mean_of_those_of_the_heads(
    weights: str, factors: tuple[float, ...]
) -> None:
    task, labels = read(NAME + weights)
    x, y = torch.from_numpy(outputs()), torch.from_numpy(labels.values)
    expected = sum(f * loss for f, loss in zip(factors, head_losses(x, y), strict=True)) / sum(factors)
    assert float(task.loss(x, y)) == pytest.approx(float(expected), rel=1e-6)


def test_uncertainty_weighs_each_head_by_its_loss() -> None:
    """Kendall et al. 2018 minimise the sum of L / (2 s²) + log s; best is s² = L, gradient L' / (2 L)."""
    task, labels = read(f"{NAME}+weights:uncertainty")
    x, y = torch.from_numpy(outputs()).requires_grad_(), torch.from_numpy(labels.values)
    (got,) = torch.autograd.grad(task.loss(x, y), x)
    losses = head_losses(x, y)
    with torch.no_grad():
        best = [loss.detach() for loss in losses]  # s² where the derivative by s is 0
    each = [loss / (2 * s2) + torch.log(s2) / 2 for loss, s2 in zip(losses, best, strict=True)]
    kendall = torch.stack(each).sum()
    (expected,) = torch.autograd.grad(kendall, x)
    assert torch.allclose(3 * got / 2, expected, rtol=1e-4)  # the mean of three, and log L = 2 log s


def test_the_last_layer_answers_in_the_units_of_the_data() -> None:
    task, labels = read()
    module = nn.Sequential(nn.Flatten(), nn.Linear(8, 6))
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = module(x).numpy()
        finished = task.finish(module)(x).numpy()
    assert finished == pytest.approx(task.answers(raw), rel=1e-4, abs=1e-4)
    ages = labels.values[:, 1]
    assert finished[:, 3] == pytest.approx(raw[:, 3] * ages.std() + ages.mean(), rel=1e-4)
    assert (finished[:, :3] == raw[:, :3]).all()


def test_what_people_read_names_each_head() -> None:
    task, labels = read()
    quality = task.quality(task.answers(outputs()), labels.values, labels.names, probabilities=False)
    head, rows, _ = task_named(NAME).card(quality)  # as of a manifest: by the name of the task alone
    assert {row[0] for row in rows} == {"kind", "age", "ring"} and len(head) == len(rows[0])
    told = task.told(task.answers(outputs())[0], labels.values[0], labels.names)
    assert told["label"].startswith("kind b; age 30; ring ring")
    assert set(task.golden(labels.names, labels.values[0])["heads"]) == {"kind", "age", "ring"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("classification:a", "one head; give two or more"),
        ("classification:a+regression", "'regression' is no TASK:COLUMN"),
        ("classification:a+segmentation:b", "segmentation cannot be a head beside others"),
        ("classification:a,b+regression:c", "classification learns one column"),
        ("classification:a+regresion:b", "did you mean 'regression'"),
        ("classification:a+regression:A", "a column is learned twice"),
        ("classification:a+regression:b+weights:1", "2 numbers above 0"),
        ("classification:a+regression:b+weights:1,-1", "2 numbers above 0"),
        ("classification:a+regression:b+objective:c", "objective 'c'"),
        ("classification:a+regression:b+objective:a+objective:b", "says objective twice"),
    ],
)
def test_a_wrong_spelling_is_told(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        task_named(name)


def test_columns_and_cells_that_are_not_there_are_told() -> None:
    with pytest.raises(UsageError, match="names the column 'size', which is no label column"):
        read("classification:kind+regression:size")
    with pytest.raises(UsageError, match=r"'kind' of 1 samples is empty, as of 0\.png"):
        read(rows=[("", "30", "1", "0"), *ROWS])
    with pytest.raises(UsageError, match=r"1 targets are no numbers.*'age' of 0.png is 'old'"):
        read(rows=[("a", "old", "1", "0"), *ROWS])
