"""All proxies of architectures of a space, on the same images and weights of the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array
from hwnas.tasks import CLASSIFICATION, Task

from .naswot import naswot
from .synflow import log_synflow
from .zico import zico

if TYPE_CHECKING:
    from torch import Tensor

    from hwnas.core.choice import Arch
    from hwnas.core.network_space import NetworkSpace
    from hwnas.data import Data

PROXIES = ("naswot", "log_synflow", "zico")
"""The columns of the scores. Parameters and MACs, the other two, are costs."""

NASWOT_IMAGES, ZICO_BATCHES, ZICO_IMAGES = 32, 4, 16
_LEAST = -1e6
"""What stands for minus infinity: images that a network cannot tell apart at all."""


class ProxyScores:
    """Scores each architecture once.

    images: (b, c, h, w) for NASWOT. batches: of images and labels, for ZiCo. seed: of the weights.
    """

    def __init__(
        self,
        space: NetworkSpace,
        images: Tensor,
        batches: Sequence[tuple[Tensor, Tensor]],
        *,
        seed: int,
        task: Task = CLASSIFICATION,
    ) -> None:
        self._space, self._images, self._batches, self._seed = space, images, batches, seed
        self._task = task
        self._known: dict[str, tuple[float, ...]] = {}

    @classmethod
    def on(cls, space: NetworkSpace, data: Data, *, seed: int) -> ProxyScores:
        """On training images, without augmentation; few images make small batches."""
        from hwnas.data import Batches

        n = len(data.split("train"))
        first = Batches(data, "train", min(NASWOT_IMAGES, n), seed).at(0)[0]
        source = Batches(data, "train", min(ZICO_IMAGES, n), seed)
        return cls(space, first, [source.at(i) for i in range(ZICO_BATCHES)], seed=seed, task=data.task)

    def __call__(self, archs: Sequence[Arch], on_score: Callable[[], None] = lambda: None) -> Array:
        """(n, 3): the columns of `PROXIES`. on_score: hears of each architecture that is scored."""
        rows = []
        for arch in archs:
            key = self._space.key(arch)
            if key not in self._known:
                self._known[key] = self._score(arch)
                on_score()
            rows.append(self._known[key])
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(PROXIES))

    def _score(self, arch: Arch) -> tuple[float, ...]:
        import torch

        from hwnas.training.initial_weights import initialise

        with torch.random.fork_rng(devices=[]):  # new layers draw from the global generator
            net = self._space.build(arch)
        initialise(net, self._seed)
        values = (
            naswot(net, self._images),
            log_synflow(net, self._images.shape[1:]),
            zico(net, self._batches, self._task),
        )
        return tuple(max(value, _LEAST) for value in values)
