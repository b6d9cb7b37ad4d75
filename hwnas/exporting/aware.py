"""Quantisation-aware training: a trained network learns to live with 8 bits, for up to two epochs.

Weights are rounded per output channel, and what weighted layers read is rounded per tensor, to the ranges of
a moving average; gradients pass the rounding unchanged (Jacob et al. 2018, arXiv 1712.05877). Batch norms
keep their statistics: they scale whole channels, so a weight that is rounded per channel before its norm is
the rounded weight of the convolution that both become.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from hwnas.training.rounding import WEIGHTED, Observer, round_weights
from targets import Int8Form
from targets.errors import UsageError

from .export import network_file

if TYPE_CHECKING:
    from hwnas.data import Data
    from hwnas.training.recipe import Recipe

MAX_EPOCHS = 2
RATE_SHARE = 0.1
"""Of the rate that the network was trained with, at its peak."""

_WARM_BATCHES = 16
"""By which the ranges are found before the first step."""

_KEPT = 0.99
"""Of a range, after each batch."""


@dataclass(frozen=True, kw_only=True)
class AwareTraining:
    """What quantisation-aware training needs. build: the trained network, new at each call."""

    build: Callable[[], nn.Module]
    data: Data
    form: Int8Form
    seed: int = 0

    def models(self) -> Iterator[bytes]:
        """Float networks as ONNX files, after each epoch."""
        from hwnas.training.recipe import Recipe

        data = self.data
        module = self.build()
        recipe = Recipe.for_data(len(data.split("train")), MAX_EPOCHS)
        recipe = replace(recipe, lr=recipe.lr * RATE_SHARE, warmup_share=0.0)
        for trained in aware_epochs(module, data, recipe, self.form, self.seed):
            yield network_file(trained, data, 1)


def aware_epochs(
    module: nn.Module, data: Data, recipe: Recipe, form: Int8Form, seed: int
) -> Iterator[nn.Module]:
    """Train `module` in place; yields the float network after each epoch.

    UsageError where nothing in it has weights.
    """
    from hwnas.data import Batches
    from hwnas.training.train import changes_of

    layers = [part for part in module.modules() if isinstance(part, WEIGHTED)]
    if not layers:
        raise UsageError("quantisation-aware training needs convolutions or linear layers; leave out --qat")
    float_network = copy.deepcopy(module)
    batches = Batches(data, "train", recipe.batch_size, seed, changes_of(recipe, data))
    observers = [Observer(form, _KEPT) for _ in layers]
    handles = [
        layer.register_forward_pre_hook(observer.before)
        for layer, observer in zip(layers, observers, strict=True)
    ]
    module.eval()  # norms keep their statistics
    with torch.no_grad():
        for step in range(min(_WARM_BATCHES, batches.steps_per_epoch)):
            module(batches.at(step)[0])
    for observer in observers:
        observer.rounds = True
    round_weights(module, form)
    sgd = torch.optim.SGD(
        module.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    total = recipe.epochs * batches.steps_per_epoch
    try:
        for step in range(total):
            x, y = batches.at(step)
            sgd.param_groups[0]["lr"] = recipe.lr_at(step, total)
            sgd.zero_grad(set_to_none=True)
            F.cross_entropy(module(x), y).backward()  # type: ignore[no-untyped-call]
            sgd.step()
            if (step + 1) % batches.steps_per_epoch == 0:
                yield _plain(module, float_network)
    finally:
        for handle in handles:
            handle.remove()


def _plain(trained: nn.Module, float_network: nn.Module) -> nn.Module:
    """`float_network` with the weights that lie behind the rounded ones."""
    weights = {
        name.replace(".parametrizations.weight.original", ".weight"): tensor.detach().clone()
        for name, tensor in trained.state_dict().items()
    }
    float_network.load_state_dict(weights)
    return float_network.eval()
