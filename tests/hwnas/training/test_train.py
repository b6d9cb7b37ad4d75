"""The recipe and the loop: schedules by hand, resume to the bit, and digits that are learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.data import Data, eval_batches, load_data
from hwnas.gradient.step.optim import DivergedError
from hwnas.networks.mobile_blocks import Operation
from hwnas.networks.mobile_layers import MBConv
from hwnas.training.initial_weights import begin, initialise
from hwnas.training.mobilenet import mobilenet_v3_small
from hwnas.training.recipe import Recipe
from hwnas.training.train import eval_batch, logits_of, score, train
from targets.errors import DamagedFileError, UsageError
from tests.support.savers import Memory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"))


def _network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),  # draws from torch's global generator
        nn.Linear(16 * 16, 10),
    )


def _weight(network: nn.Sequential, index: int) -> torch.Tensor:
    layer = network[index]
    assert isinstance(layer, nn.Conv2d)
    return layer.weight


def test_learning_rate_rises_to_the_peak_and_falls_to_zero() -> None:
    recipe = Recipe(epochs=1, batch_size=8, lr=0.5, warmup_share=0.2)
    assert recipe.lr_at(0, 10) == pytest.approx(0.25)  # half of the two steps of warm-up
    assert recipe.lr_at(1, 10) == recipe.lr_at(2, 10) == pytest.approx(0.5)
    assert recipe.lr_at(6, 10) == pytest.approx(0.25)  # the middle of the cosine
    assert 0 < recipe.lr_at(9, 10) < 0.02


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"lr": float("nan")}, {"batch_size": 1}, {"momentum": 1.0}])
def test_a_bad_recipe_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        Recipe(**{"epochs": 1, "batch_size": 8, "lr": 0.1, **bad})


def test_the_recipe_survives_json() -> None:
    recipe = Recipe.for_data(1000, epochs=3)
    assert Recipe(**recipe.to_json()) == recipe


def test_weights_come_from_the_seed_alone() -> None:
    first, second, other = _network(), _network(), _network()
    torch.rand(3)
    initialise(first, 1)
    initialise(second, 1)
    initialise(other, 2)
    assert torch.equal(_weight(first, 0), _weight(second, 0))
    assert not torch.equal(_weight(first, 0), _weight(other, 0))
    # He et al. 2015: variance 2 / fan_out, here 8 channels of 3 x 3 pixels
    assert _weight(first, 3).std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.1)


def test_residual_blocks_begin_as_their_input() -> None:
    module = mobilenet_v3_small(0.25, 32, 3, 10)
    begin(module, 0, None, residual_init="zero")
    module.eval()
    blocks = [part for part in module.modules() if getattr(part, "use_res_connect", False)]
    assert blocks
    for block in blocks:
        x = torch.randn(2, next(p for p in block.parameters() if p.ndim == 4).shape[1], 4, 4)
        assert torch.equal(block(x), x)
    own = MBConv(Operation.parse("mb3e3-se"), 8, 8, 1, residual=True)
    begin(own, 0, None, residual_init="zero")
    assert torch.equal(own.eval()(x := torch.randn(2, 8, 4, 4)), x)
    begin(own, 0, None)
    assert not torch.equal(own.eval()(x), x)


def test_digits_are_learnt_and_the_validation_figure_is_that_of_the_weights(digits: Data) -> None:
    module = _network()
    steps: list[int] = []
    result = train(module, digits, Recipe(8, 64, 0.2), 0, on_step=lambda done, total: steps.append(done))
    assert result.val_accuracy > 0.9  # a linear model has 0.92 to 0.94 on this set
    assert [e.epoch for e in result.epochs] == list(range(8))
    assert steps == list(range(1, 8 * (1079 // 64) + 1))
    logits, labels = logits_of(module, eval_batches(digits, "val", 50))
    assert result.val_accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    assert score(module, eval_batches(digits, "val", 50))[1] == pytest.approx(result.val_loss, rel=1e-4)


def test_a_stopped_training_goes_on_to_the_bit_and_leaves_global_randomness_alone(digits: Data) -> None:
    recipe = Recipe(4, 64, 0.2)
    whole, cut = _network(), _network()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    uninterrupted = train(whole, digits, recipe, 3)
    assert torch.equal(torch.rand(1), expected)

    memory = Memory(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        train(cut, digits, recipe, 3, saver=memory, save_every_s=0.0)
    again = _network()
    resumed = train(again, digits, recipe, 3, saver=memory, save_every_s=0.0)
    assert len(memory.states) == 4
    assert resumed.val_loss == uninterrupted.val_loss
    assert [e.train_loss for e in resumed.epochs] == [e.train_loss for e in uninterrupted.epochs]
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_another_training_is_refused(digits: Data) -> None:
    memory = Memory(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        train(_network(), digits, Recipe(2, 64, 0.2), 3, saver=memory, save_every_s=0.0)
    with pytest.raises(DamagedFileError, match="seed 3"):
        train(_network(), digits, Recipe(2, 64, 0.2), 4, saver=memory)
    with pytest.raises(DamagedFileError, match="another network"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), digits, Recipe(2, 64, 0.2), 3, saver=memory)


def test_divergence_names_seed_and_step(digits: Data) -> None:
    class Overflow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float("inf")

    with pytest.raises(DivergedError, match="seed 7, step 0 of 16"):
        train(nn.Sequential(_network(), Overflow()), digits, Recipe(1, 64, 0.2), 7)


def test_weights_that_the_last_step_broke_are_no_result(digits: Data) -> None:
    class BrokenWhenScored(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if self.training else x * float("nan")

    with pytest.raises(DivergedError, match="validation after 16 steps with seed 7"):
        train(nn.Sequential(_network(), BrokenWhenScored()), digits, Recipe(1, 64, 0.2), 7)


def test_large_images_are_scored_few_at_a_time() -> None:
    # As many pixels as 256 images of 32 px have, and 8 at least.
    assert [eval_batch(size**2) for size in (16, 32, 64, 96, 224)] == [256, 256, 64, 28, 8]


def test_the_evaluation_recipe_is_that_of_the_paper() -> None:
    """Liu et al. 2019, appendix A.2: drop-path 0.2 on a line, auxiliary 0.4, cutout 16 of 32 px, clip 5."""
    recipe = Recipe.evaluation()
    assert [recipe.drop_path_at(epoch) for epoch in (0, 300)] == [0.0, pytest.approx(0.1)]
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay) == (600, 96, 0.025, 3e-4)
    assert (recipe.cutout * 32, recipe.auxiliary, recipe.clip) == (16, 0.4, 5.0)
    assert recipe.lr_at(0, 100) == pytest.approx(0.025)  # no warm-up


def test_the_auxiliary_classifier_and_drop_path_act_in_training(digits: Data) -> None:
    from hwnas.networks.cells import CellNetwork
    from hwnas.spaces import load_space
    from hwnas.spaces.darts import DartsSpace

    space = load_space("darts", image_size=16, in_channels=1, n_classes=10, cells=2, channels=4)
    assert isinstance(space, DartsSpace)
    arch = space.sample(np.random.default_rng(0))
    seen: list[float] = []
    weights = []

    for factor in (0.0, 0.4):
        net = space.build(arch, auxiliary=True)
        assert isinstance(net, CellNetwork) and net.auxiliary is not None
        recipe = Recipe(2, 512, 0.1, drop_path=0.5, auxiliary=factor, clip=1.0)

        def note(done: int, total: int, net: CellNetwork = net) -> None:
            seen.append(net.drop_path)

        train(net, digits, recipe, 0, on_step=note)
        weights.append(torch.cat([p.detach().flatten() for p in net.auxiliary.parameters()]))
    assert sorted(set(seen)) == [0.0, 0.25]
    assert not torch.equal(weights[0], weights[1])  # without its loss it stays as it was


def test_large_images_are_trained_as_the_paper_trains_imagenet() -> None:
    """train_imagenet.py of quark0/darts: lr 0.1, gamma 0.97, weight decay 3e-5, label smoothing 0.1."""
    recipe = Recipe.evaluation_large(epochs=10)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.auxiliary, recipe.clip) == (3e-5, 0.1, 0.4, 5)
    assert (recipe.drop_path, recipe.cutout) == (0, 0)
    rates = [recipe.lr_at(step, 40) for step in (0, 3, 4, 8, 39)]
    assert rates == pytest.approx([0.1, 0.1, 0.097, 0.1 * 0.97**2, 0.1 * 0.97**9])
