"""Networks that compute as 8-bit files do: weights and what operators read, rounded in 32-bit numbers.

Weights are rounded per output channel, before the norm that follows: it scales whole channels, so that this
is the rounded weight of the convolution that both become in a file.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from targets import Int8Form

if TYPE_CHECKING:
    from hwnas.data import Data

CALIBRATION_IMAGES = 256
"""Training images that the ranges of an evaluation come from, as those of an exported file."""

WEIGHTED = (nn.Conv2d, nn.Linear)
_READERS = (*WEIGHTED, nn.Hardswish, nn.SiLU, nn.Hardsigmoid, nn.Sigmoid, nn.AdaptiveAvgPool2d)
"""What reads a tensor that the file stores in 8 bits, as it does the outputs of the network.

A ReLU is part of the convolution before it."""
_GATES = (nn.Hardsigmoid, nn.Sigmoid)
"""Whose answers no reader of a kind above reads: they are multiplied into a map."""


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
            zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
            return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -self._most, self._most)
        return torch.fake_quantize_per_tensor_affine(weight, float(scale), 0, -self._most, self._most)


class Observer:
    """Follows the range of a tensor, and rounds it where `rounds`.

    kept: share of a range that is left after a batch; 0: the range is from the lowest to the highest value of
        all batches, until it rounds.
    """

    def __init__(self, form: Int8Form, kept: float = 0.0) -> None:
        self._form, self._kept = form, kept
        self._low: float | None = None
        self._high = 0.0
        self.rounds = False

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """As a forward pre-hook: what the module reads."""
        return (self._seen(inputs[0]), *inputs[1:])

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """As a forward hook: what the module gives."""
        return self._seen(output)

    def _seen(self, x: Tensor) -> Tensor:
        if self._kept or not self.rounds:
            self._follow(*(float(edge) for edge in torch.aminmax(x.detach())))
        return self._rounded(x) if self.rounds else x

    def _follow(self, low: float, high: float) -> None:
        if self._low is None:
            self._low, self._high = low, high
        if self._kept:
            self._low = self._kept * self._low + (1 - self._kept) * low
            self._high = self._kept * self._high + (1 - self._kept) * high
        else:
            self._low, self._high = min(self._low, low), max(self._high, high)

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


def round_weights(module: nn.Module, form: Int8Form) -> None:
    """All layers of `module` have rounded weights from now on; gradients pass the rounding unchanged."""
    for layer in [part for part in module.modules() if isinstance(part, WEIGHTED)]:
        parametrize.register_parametrization(layer, "weight", RoundedWeight(form))


def rounded(module: nn.Module, calibration: Iterable[Tensor], form: Int8Form) -> nn.Module:
    """A copy of a trained network that answers about as its 8-bit file does, in eval mode.

    calibration: batches of normalised training images, on which the ranges of maps are found: from the lowest
        to the highest value.
    """
    twin = copy.deepcopy(module).eval()
    observers = [Observer(form)]
    twin.register_forward_hook(observers[0].after)
    for part in twin.modules():
        if isinstance(part, _READERS):
            observers.append(Observer(form))
            part.register_forward_pre_hook(observers[-1].before)
        if isinstance(part, _GATES):
            observers.append(Observer(form))
            part.register_forward_hook(observers[-1].after)
    with torch.no_grad():
        for x in calibration:
            twin(x)
    round_weights(twin, form)
    for observer in observers:
        observer.rounds = True
    return twin


def score_rounded(
    module: nn.Module, data: Data, form: Int8Form, device: str | torch.device = "cpu"
) -> tuple[float, ...]:
    """Scores and mean loss (`train.scores`) on the validation images of a trained network in 8 bits."""
    from hwnas.data import eval_batches
    from hwnas.data.batches import EvalBatches

    from .train import eval_batch, scores

    size = eval_batch(data.area)
    images = EvalBatches(data, "train", size, CALIBRATION_IMAGES, device)
    in_8_bits = rounded(module, (x for x, _ in images), form)
    return scores(in_8_bits, eval_batches(data, "val", size, device=device), data.task)
