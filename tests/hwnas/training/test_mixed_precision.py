"""Trainings in 16 bits: what runs in them, what does not, and that a stop changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hwnas.data import Data, load_data
from hwnas.networks.mobile_blocks import Operation
from hwnas.networks.mobile_layers import MBConv
from hwnas.pipeline.single_training import prepare
from hwnas.pipeline.training_options import TrainingOptions
from hwnas.training.mixed_precision import MixedPrecision
from hwnas.training.recipe import Recipe
from hwnas.training.train import train
from targets.errors import UsageError
from tests.support.savers import Memory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"), limit=120)


def network() -> nn.Sequential:
    """A depthwise kernel of 5, which has a backward pass of its own in 32 bits, is part of it."""
    block = MBConv(Operation.parse("mb5e2"), 8, 8, 1, residual=True)
    head = (nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), block, *head)


def test_layers_run_in_bf16_and_weights_loss_and_scores_in_32_bits(digits: Data) -> None:
    module, seen = network(), set[tuple[bool, torch.dtype]]()
    module[0].register_forward_hook(lambda layer, x, y: seen.add((layer.training, y.dtype)))
    result = train(module, digits, Recipe(2, 32, 0.05, amp="bf16"), 0)
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    plain = train(network(), digits, Recipe(2, 32, 0.05), 0)
    losses = [[epoch.train_loss for epoch in r.epochs] for r in (result, plain)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.03)  # 8 bits of mantissa


def test_a_training_in_bf16_goes_on_to_the_bit(digits: Data) -> None:
    recipe = Recipe(3, 32, 0.05, amp="bf16", clip=5.0)
    whole, cut, again = network(), network(), network()
    train(whole, digits, recipe, 3)
    memory = Memory(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        train(cut, digits, recipe, 3, saver=memory, save_every_s=0.0)
    train(again, digits, recipe, 3, saver=memory, save_every_s=0.0)
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_gradients_that_overflow_are_left_out_and_halve_the_scale() -> None:
    weight = nn.Parameter(torch.ones(1))
    sgd = torch.optim.SGD([weight], lr=0.5)
    precision = MixedPrecision("fp16", CPU)
    first = precision.state()["scale"]

    def step(loss: Tensor) -> None:
        sgd.zero_grad()
        precision.backward(loss)
        precision.unscale(sgd)
        precision.step(sgd)

    step((weight * 1e37).sum())  # times 65,536 it is above 3.4e38, the largest number of 32 bits
    assert weight.item() == 1.0 and precision.state()["scale"] == first / 2
    step((weight * 1e-3).sum())
    assert weight.item() == pytest.approx(1 - 0.5e-3)
    other = MixedPrecision("fp16", CPU)
    other.restore(precision.state())
    assert other.state() == precision.state()


def test_without_it_nothing_is_scaled() -> None:
    assert MixedPrecision("none", CPU).state() == {} == MixedPrecision("bf16", CPU).state()


def test_fp16_on_the_cpu_is_refused(tmp_path: Path) -> None:
    options = TrainingOptions(
        architecture="16:mb3e3", dataset="digits", amp="fp16", out=str(tmp_path / "x"), home=str(tmp_path)
    )
    with pytest.raises(UsageError, match="--amp fp16 is for --device cuda; on the CPU give bf16"):
        prepare(options)
    assert list(tmp_path.iterdir()) == []
