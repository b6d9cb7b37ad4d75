"""A search in miniature: three choices, a supernet of a few hundred weights, costs from a small table.

Everything about it can be counted by hand or enumerated, so searches are tested against brute force.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.core.choice import Arch, Choice
from hwnas.core.mix import Mix
from hwnas.core.space import Space

OPTIONS = ("strong", "weak", "none")
GAIN = (1.0, 0.4, 0.0)
"""How much of the signal an option lets through; `strong` everywhere classifies best."""


def toy_space(n_choices: int = 3) -> Space:
    """`n_choices` choices between strong, weak and none."""
    return Space("toy", [Choice(f"layer{i}", OPTIONS) for i in range(n_choices)])


class ToySupernet(nn.Module):
    """Per choice a residual layer x + gain_k * tanh(W x); then a linear classifier.

    Active options run with gradient; probed ones without, so that only their weight receives one.
    """

    def __init__(self, n_choices: int = 3, features: int = 8, n_classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ParameterList(
            nn.Parameter(torch.randn(features, features, generator=generator) / features**0.5)
            for _ in range(n_choices)
        )
        self.classify = nn.Parameter(torch.randn(features, n_classes, generator=generator) / features**0.5)
        self.ran: list[list[tuple[int, bool]]] = []

    def option(self, x: Tensor, choice: int, k: int) -> Tensor:
        """Output of option k at a choice. x: (b, features)."""
        return x * 0.5 + GAIN[k] * torch.tanh(x @ self.layers[choice])

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """X: (b, features); returns logits (b, n_classes)."""
        self.ran = []
        for c, weights in enumerate(mix.probs):
            self.ran.append([(k, True) for k in mix.active[c]] + [(k, False) for k in mix.probe[c]])
            terms = []
            for k, trained in self.ran[c]:
                with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
                    y = self.option(x, c, k)
                terms.append(weights[k] * y)
            x = torch.stack(terms).sum(0)
        return x @ self.classify


class ToyCosts:
    """Costs that are sums over the choices of a table per metric, for mixes and for architectures."""

    def __init__(self, space: Space, tables: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Tables: per metric one row of option costs per choice."""
        self.space = space
        self.tables = {m: [np.asarray(row, dtype=np.float64) for row in rows] for m, rows in tables.items()}
        self.metrics = tuple(tables)

    def expected(self, mix: Mix) -> dict[str, Tensor]:
        """Per metric the expectation under the weights of the mix."""
        out = {}
        for metric, rows in self.tables.items():
            terms = [w @ torch.from_numpy(row).to(w) for w, row in zip(mix.probs, rows, strict=True)]
            out[metric] = torch.stack(terms).sum()
        return out

    def of(self, archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        """Per metric (n,)."""
        return {
            m: np.array([sum(row[i] for row, i in zip(rows, a, strict=True)) for a in archs])
            for m, rows in self.tables.items()
        }

    def minimum(self, metric: str) -> tuple[float, Arch]:
        """The least value, and the architecture that has it."""
        arch = tuple(int(row.argmin()) for row in self.tables[metric])
        return float(self.of([arch])[metric][0]), arch


def toy_costs(space: Space) -> ToyCosts:
    """At every choice: strong 4 ms and 2 MB, weak 2 ms and 3 MB, none 1 ms and 1 MB."""
    n = len(space.choices)
    return ToyCosts(space, {"latency_ms": [[4.0, 2.0, 1.0]] * n, "size_mb": [[2.0, 3.0, 1.0]] * n})


def all_archs(space: Space) -> list[Arch]:
    """Every architecture of a small space, by counting."""
    return list(itertools.product(*(range(int(n)) for n in space.n_options)))


class ToyBatches:
    """Labelled points that a fixed random layer separates; `at(step)` depends on the step alone."""

    def __init__(self, seed: int, features: int = 8, n_classes: int = 4, size: int = 32) -> None:
        self.seed, self.features, self.size = seed, features, size
        self._teacher = np.random.default_rng(99).normal(size=(features, n_classes))

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Points (size, features) and labels (size,)."""
        x = np.random.default_rng([self.seed, step]).normal(size=(self.size, self.features))
        y = (np.tanh(x) @ self._teacher).argmax(1)
        return torch.from_numpy(x).float(), torch.from_numpy(y)
