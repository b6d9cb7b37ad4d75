"""What the strong recipe is made of, each part against a closed form or the library that it comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.data import Data, load_data
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.modes import safetensors_bytes
from hwnas.training.average import MovingAverage, holding
from hwnas.training.initial_weights import begin
from hwnas.training.known import build_known
from hwnas.training.loss import TrainingLoss, distance
from hwnas.training.presets import PRESETS, STRONG, changed
from hwnas.training.recipe import Recipe
from hwnas.training.teacher import OnnxTeacher, read_teacher
from hwnas.training.train import train
from hwnas.training.training_state import EpochStats, TrainingState
from targets.errors import DamagedFileError, UsageError
from targets.files import sha256
from tests.support.savers import Memory


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"), limit=240)


def small_network(n_classes: int = 10) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(128, n_classes),
    )


class ConstantTeacher:
    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10]


@pytest.mark.slow
def test_a_strong_training_goes_on_to_the_bit(digits: Data) -> None:
    recipe = Recipe(4, 32, 0.1, **STRONG, schedule="one-cycle", crop=0.5, colour=0.3, patience=3, distil=0.5)
    recipe = replace(recipe, balance="sampling")
    whole, cut, again = small_network(), small_network(), small_network()
    uninterrupted = train(whole, digits, recipe, 3, teacher=ConstantTeacher())
    memory = Memory(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        train(cut, digits, recipe, 3, teacher=ConstantTeacher(), saver=memory, save_every_s=0.0)
    torch.rand(5)
    resumed = train(again, digits, recipe, 3, teacher=ConstantTeacher(), saver=memory, save_every_s=0.0)
    assert resumed.val_loss == uninterrupted.val_loss
    assert [e.train_loss for e in resumed.epochs] == [e.train_loss for e in uninterrupted.epochs]
    assert [e.val_accuracy for e in resumed.epochs] == [e.val_accuracy for e in uninterrupted.epochs]
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_one_cycle_is_that_of_torch() -> None:
    recipe = Recipe(1, 8, 0.4, warmup_share=0.3, momentum=0.95, schedule="one-cycle")
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(sgd, 0.4, total_steps=50)
    for step in range(50):
        group = sgd.param_groups[0]
        assert recipe.lr_at(step, 50) == pytest.approx(group["lr"])
        assert recipe.momentum_at(step, 50) == pytest.approx(group["momentum"])
        sgd.step()
        if step < 49:
            scheduler.step()


def test_the_average_is_that_of_its_recurrence_and_grows_into_its_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(1.0)
    average = MovingAverage(module, decay=0.5)
    expected = 1.0
    for n, value in enumerate((2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)):
        module.weight.data.fill_(value)
        average.update(module)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert average.tensors["weight"].item() == pytest.approx(expected, rel=1e-6)
    with holding(module, average.tensors):
        assert module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert module.weight.item() == 1024.0


def test_a_scored_network_is_the_averaged_one(digits: Data) -> None:
    recipe = Recipe(2, 32, 0.1, ema=0.9)
    plain, averaged = small_network(), small_network()
    train(plain, digits, replace(recipe, ema=0.0), 0)
    train(averaged, digits, recipe, 0)
    assert not torch.equal(plain[0].weight, averaged[0].weight)  # type: ignore[arg-type]


def state_with(accuracies: list[float], patience: int, digits: Data) -> TrainingState:
    recipe = Recipe(50, 32, 0.1, patience=patience)
    module = nn.Linear(1, 1)
    state = TrainingState(module, recipe, 0, 100, TrainingLoss(recipe, digits, 0, None))
    for epoch, accuracy in enumerate(accuracies):
        module.weight.data.fill_(float(epoch))
        kept = state.keep_best(lambda accuracy=accuracy: (accuracy, 0.0))  # type: ignore[misc]
        state.epochs.append(EpochStats(epoch, epoch, 0.0, 0.0, 0.0, kept))
    return state


def test_patience_stops_after_epochs_without_a_better_one_and_keeps_the_best(digits: Data) -> None:
    assert not state_with([0.2, 0.5, 0.4], 2, digits).has_stopped
    stopped = state_with([0.2, 0.5, 0.4, 0.5], 2, digits)  # a tie is not better
    assert stopped.has_stopped
    stopped.finish()
    assert stopped.module.weight.item() == 1.0  # type: ignore[operator]


@pytest.mark.slow
def test_a_training_without_progress_ends_early(digits: Data) -> None:
    result = train(small_network(), digits, Recipe(30, 32, 1e-8, patience=2), 0)
    assert len(result.epochs) == 3
    assert result.val_accuracy == max(e.val_accuracy or 0.0 for e in result.epochs)


def test_mixed_targets_are_shares_of_two_labels(digits: Data) -> None:
    recipe = Recipe(1, 8, 0.1, mixup=0.4, cutmix=1.0)
    loss_of = TrainingLoss(recipe, digits, 5, None)
    x, y = torch.rand(6, 1, 16, 16), torch.tensor([0, 1, 2, 3, 4, 5])
    for step in range(8):
        images, targets = loss_of.mixed(step, x, y)
        assert torch.allclose(targets.sum(1), torch.ones(6))
        # torchvision mixes each image with its predecessor, all by the same share
        share = targets[0, 0]
        expected = share * F.one_hot(y, 10) + (1 - share) * F.one_hot(y.roll(1), 10)
        assert torch.allclose(targets, expected.float())
        again, _ = loss_of.mixed(step, x, y)
        assert torch.equal(images, again)
    assert loss_of.mixed(0, x, y)[1][0, 0] != loss_of.mixed(1, x, y)[1][0, 0]


def test_distillation_is_the_divergence_of_softened_answers() -> None:
    student, teacher, t = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]), 2.0
    p = np.exp([0.5, 0.0]) / np.exp([0.5, 0.0]).sum()
    q = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    assert distance(student, teacher, t).item() == pytest.approx(t**2 * (p * np.log(p / q)).sum(), rel=1e-5)
    assert distance(teacher, teacher, t).item() == pytest.approx(0.0, abs=1e-6)


def test_the_share_of_a_teacher_is_that_of_the_recipe(digits: Data) -> None:
    recipe = Recipe(1, 8, 0.1, label_smoothing=0.0, distil=0.25, temperature=1.0)
    x, y, logits = torch.rand(4, 1, 16, 16), torch.tensor([1, 2, 3, 4]), torch.randn(4, 10)
    loss_of = TrainingLoss(recipe, digits, 0, ConstantTeacher())
    loss = loss_of(logits, y, loss_of.taught(x))
    expected = 0.75 * F.cross_entropy(logits, y) + 0.25 * distance(logits, x.flatten(1)[:, :10], 1.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def uneven(digits: Data) -> Data:
    labels = digits.labels.copy()
    labels[: len(labels) // 2] = 0
    return replace(digits, labels=labels)


def test_class_weights_are_those_of_scikit_learn(digits: Data) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    data = uneven(digits)
    y = data.labels[data.split("train")]
    expected = compute_class_weight("balanced", classes=np.arange(10), y=y)
    weights = data.task.balanced(y).weights  # type: ignore[attr-defined]  # of a classification
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_an_onnx_teacher_of_one_image_answers_as_torch(digits: Data) -> None:
    module = small_network().eval()
    x = torch.rand(5, 1, 16, 16)
    answers = OnnxTeacher(onnx_bytes(module, (2, 1, 16, 16)))(x)
    with torch.no_grad():
        np.testing.assert_allclose(answers.numpy(), module(x).numpy(), atol=1e-5)


def test_a_teacher_is_the_file_that_was_planned(tmp_path: Path) -> None:
    module = build_known("torchvision:squeezenet1_1", 4)
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(safetensors_bytes(module))
    spec = {
        "model": "torchvision:squeezenet1_1",
        "n_classes": 4,
        "in_channels": 3,
        "file": str(path),
        "sha256": sha256(path),
    }
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(read_teacher(spec, "cpu")(x), module.eval()(x), atol=1e-6)
    with pytest.raises(DamagedFileError, match="no weights of this network"):
        read_teacher({**spec, "n_classes": 5}, "cpu")
    path.write_bytes(b"other")
    with pytest.raises(DamagedFileError, match="not as it was"):
        read_teacher(spec, "cpu")


@pytest.mark.parametrize("name", ["resnet18", "torchvision:", "keras:resnet", "torchvision:resnet19"])
def test_a_model_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="torchvision"):
        build_known(name, 10)


def test_a_classifier_of_other_classes_is_drawn_anew() -> None:
    source, target = small_network(4), small_network(10)
    begin(target, 0, source.state_dict())
    assert torch.equal(target[0].weight, source[0].weight)  # type: ignore[arg-type]
    fresh = small_network(10)
    begin(fresh, 0, None)
    assert torch.equal(target[6].weight, fresh[6].weight)  # type: ignore[arg-type]
    strange = {name.replace("0.", "9.", 1): tensor for name, tensor in source.state_dict().items()}
    with pytest.raises(DamagedFileError, match="another network"):
        begin(target, 0, strange)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"schedule": "linear"}, "cosine, one-cycle"),
        ({"auto_augment": "best"}, "none, trivial, rand"),
        ({"ema": 1.0}, "ema"),
        ({"decay": 0.9, "schedule": "one-cycle"}, "exclude"),
    ],
)
def test_a_bad_part_is_refused(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe(1, 8, 0.1, **bad)


def test_lengths_of_presets_are_counted_in_steps() -> None:
    few = PRESETS["standard"](360, large=False, epochs=None, batch_size=None)
    many = PRESETS["standard"](50_000, large=False, epochs=None, batch_size=None)
    assert few.epochs * few.steps_per_epoch(360) >= 1_500
    assert many == Recipe.for_data(50_000)
    strong = PRESETS["strong"](360, large=False, epochs=7, batch_size=16)
    assert (strong.epochs, strong.batch_size, strong.ema) == (7, 16, STRONG["ema"])


def test_a_share_without_a_teacher_is_refused() -> None:
    from hwnas.runs.recipe_options import RecipeOptions

    recipe = Recipe(1, 8, 0.1)
    assert changed(recipe, RecipeOptions(mixup=0.3, clip=1.0)) == replace(recipe, mixup=0.3, clip=1.0)
    assert changed(recipe, RecipeOptions(teacher="some")).distil == 0.5
    with pytest.raises(UsageError, match="--teacher"):
        changed(recipe, RecipeOptions(distil=0.5))
