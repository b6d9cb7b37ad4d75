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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

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
"""Of a range, at each batch."""


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

    layers = [part for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    if not layers:
        raise UsageError("quantisation-aware training needs convolutions or linear layers; leave out --qat")
    float_network = copy.deepcopy(module)
    batches = Batches(data, "train", recipe.batch_size, seed, changes_of(recipe, data))
    observers = [Observer(form) for _ in layers]
    handles = [
        layer.register_forward_pre_hook(observer) for layer, observer in zip(layers, observers, strict=True)
    ]
    module.eval()  # norms keep their statistics
    with torch.no_grad():
        for step in range(min(_WARM_BATCHES, batches.steps_per_epoch)):
            module(batches.at(step)[0])
    for observer in observers:
        observer.rounds = True
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", RoundedWeight(form))
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


class RoundedWeight(nn.Module):
    """A weight as 8 bits hold it: symmetric, per output channel or per tensor."""

    def __init__(self, form: Int8Form) -> None:
        super().__init__()
        self._per_channel, self._most = form.per_channel, 64 if form.reduced_range else 127

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight."""
        dims = tuple(range(1, weight.ndim)) if self._per_channel else tuple(range(weight.ndim))
        scale = weight.detach().abs().amax(dims) / self._most
        scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
        if self._per_channel:
            zeros = torch.zeros(len(weight), dtype=torch.int32)
            return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -self._most, self._most)
        return torch.fake_quantize_per_tensor_affine(weight, float(scale), 0, -self._most, self._most)


class Observer:
    """A forward pre-hook that follows the range of what a layer reads, and rounds it where `rounds`."""

    def __init__(self, form: Int8Form) -> None:
        self._form = form
        self._low: float | None = None
        self._high = 0.0
        self.rounds = False

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the layer reads, rounded or as it is."""
        x: Tensor = inputs[0]
        low, high = (float(edge) for edge in torch.aminmax(x.detach()))
        if self._low is None:
            self._low, self._high = low, high
        self._low = _KEPT * self._low + (1 - _KEPT) * low
        self._high = _KEPT * self._high + (1 - _KEPT) * high
        return (self._rounded(x), *inputs[1:]) if self.rounds else inputs

    def _rounded(self, x: Tensor) -> Tensor:
        assert self._low is not None  # the range is followed before anything is rounded
        low, high = min(self._low, 0.0), max(self._high, 0.0)  # 0 has to be exact
        first, last = (0, 255) if self._form.activations == "uint8" else (-128, 127)
        if self._form.symmetric:
            high = max(-low, high)
            low = -high
        scale = max((high - low) / (last - first), 1e-12)
        zero = min(last, max(first, round(first - low / scale)))
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, first, last)
