"""The moving average of a network's weights, and a network that holds other weights for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of the weights and of the statistics of batch norms.

    The decay grows from 0.1 with the number of steps, `(1 + n) / (10 + n)`, until it is `decay`: short
    trainings would else keep the weights of their start (as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self._n = decay, 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    def update(self, module: nn.Module) -> None:
        """Take the weights after a step in. Whole numbers (the batches that a norm has seen) are copied."""
        decay = min(self._decay, (1 + self._n) / (10 + self._n))
        self._n += 1
        now = module.state_dict()
        floats = [name for name, tensor in now.items() if tensor.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([self.tensors[n] for n in floats], [now[n] for n in floats], 1 - decay)
            for name in now.keys() - set(floats):
                self.tensors[name].copy_(now[name])

    def restore(self, tensors: Mapping[str, Tensor], n_updates: int) -> None:
        """Go on from a stored average after so many updates."""
        self.tensors, self._n = (
            {name: t.to(self.tensors[name].device) for name, t in tensors.items()},
            n_updates,
        )


@contextmanager
def holding(module: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """`module` with these weights; afterwards with its own again."""
    own = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    module.load_state_dict(dict(tensors))
    try:
        yield
    finally:
        module.load_state_dict(own)
