"""All proxies of architectures of a space, on the same images and weights of the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array

from .naswot import naswot
from .synflow import log_synflow
from .zico import zico

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwnas.core.choice import Arch
    from hwnas.core.network_space import NetworkSpace
    from hwnas.data import Data
    from hwnas.tasks import Task

NASWOT_IMAGES, ZICO_BATCHES, ZICO_IMAGES = 32, 4, 16
_LEAST = -1e6
"""What stands for minus infinity: images that a network cannot tell apart at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyInputs:
    """What proxies look at.

    images: (b, c, h, w), of texts symbols (b, l). batches: of images and labels. task: what is learned.
    """

    images: Tensor
    batches: Sequence[tuple[Tensor, Tensor]]
    task: Task


@dataclass(frozen=True, slots=True)
class Proxy:
    """A zero-cost proxy.

    score: of a fresh network. symbols: whether it knows networks that read symbols in place of numbers.
    """

    score: Callable[[nn.Module, ProxyInputs], float]
    symbols: bool


PROXIES: Mapping[str, Proxy] = {
    # A cell of texts has functions where NASWOT looks for layers; an image of ones is no text.
    "naswot": Proxy(lambda net, inputs: naswot(net, inputs.images), symbols=False),
    "log_synflow": Proxy(lambda net, inputs: log_synflow(net, inputs.images.shape[1:]), symbols=False),
    "zico": Proxy(lambda net, inputs: zico(net, inputs.batches, inputs.task), symbols=True),
}
"""By the names of the columns. Parameters and MACs, the other two, are costs."""


class ProxyScores:
    """Scores each architecture once.

    inputs: images for NASWOT, batches for ZiCo. seed: of the weights.
    """

    def __init__(self, space: NetworkSpace, inputs: ProxyInputs, *, seed: int) -> None:
        self._space, self._inputs, self._seed = space, inputs, seed
        self.names = tuple(name for name, proxy in PROXIES.items() if proxy.symbols or not inputs.task.texts)
        """Of the columns: the proxies that know such networks."""
        self.left_out = tuple(name for name in PROXIES if name not in self.names)
        self._known: dict[str, tuple[float, ...]] = {}

    @classmethod
    def on(cls, space: NetworkSpace, data: Data, *, seed: int) -> ProxyScores:
        """On training images, without augmentation; few images make small batches."""
        from hwnas.data import Batches

        n = len(data.split("train"))
        first = Batches(data, "train", min(NASWOT_IMAGES, n), seed).at(0)[0]
        source = Batches(data, "train", min(ZICO_IMAGES, n), seed)
        batches = [source.at(i) for i in range(ZICO_BATCHES)]
        return cls(space, ProxyInputs(images=first, batches=batches, task=data.task), seed=seed)

    def __call__(self, archs: Sequence[Arch], on_score: Callable[[], None] = lambda: None) -> Array:
        """(n, k): the columns `names`. on_score: hears of each architecture that is scored."""
        rows = []
        for arch in archs:
            key = self._space.key(arch)
            if key not in self._known:
                self._known[key] = self._score(arch)
                on_score()
            rows.append(self._known[key])
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.names))

    def _score(self, arch: Arch) -> tuple[float, ...]:
        import torch

        from hwnas.training.initial_weights import initialise

        with torch.random.fork_rng(devices=[]):  # new layers draw from the global generator
            net = self._space.build(arch)
        initialise(net, self._seed)
        values = (PROXIES[name].score(net, self._inputs) for name in self.names)
        return tuple(value if math.isfinite(value) else _LEAST for value in values)
