"""Ensembles of small networks that predict log errors: perceptrons on features, recurrent ones on tokens.

All members are trained at once, as one batch of matrices. What they predict follows from data and seed.

References:
[1] C. Liu et al. Progressive Neural Architecture Search. ECCV 2018, arXiv 1712.00559, section 4.3 and
    appendix A: five members, each trained on four fifths of the data; an LSTM of 100 units on the tokens.
[2] C. White, W. Neiswanger, Y. Savani. BANANAS: Bayesian Optimization with Neural Architectures for Neural
    Architecture Search. AAAI 2021, arXiv 1910.11858: an ensemble of five perceptrons.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.core.arrays import Array, Indices

MEMBERS = 5
_WIDTH, _EMBEDDING, _STATES = 64, 32, 64
_CHUNK = 8192

Predictor = Callable[["Array | Indices"], Array]
"""Features (n, d), or tokens (n, length) -> what each member predicts (members, n)."""


def fit_perceptrons(features: Array, targets: Array, *, epochs: int, seed: int) -> Predictor:
    """Two hidden layers on features (n, d), which are scaled here."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)  # a column that tells nothing becomes 0

    def scaled(x: Array | Indices) -> Tensor:
        return torch.from_numpy((x - mean) / scale).float()

    generator = torch.Generator().manual_seed(seed)
    net = _Perceptrons(features.shape[1], generator)
    return _fit(net, scaled, features, targets, epochs, generator)


def fit_recurrent(tokens: Indices, targets: Array, *, epochs: int, seed: int) -> Predictor:
    """An LSTM on tokens (n, length), each a whole number from 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _Recurrent(int(tokens.max(initial=0)) + 1)
    return _fit(
        net, lambda x: torch.from_numpy(np.asarray(x, dtype=np.int64)), tokens, targets, epochs, generator
    )


class _Perceptrons(nn.Module):
    """(n, d) -> (members, n)."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [width, _WIDTH, _WIDTH, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in itertools.pairwise(sizes):
            drawn = torch.randn(MEMBERS, n_in, n_out, generator=generator)
            self.weights.append(nn.Parameter(drawn * (2 / max(n_in, 1)) ** 0.5))
            self.biases.append(nn.Parameter(torch.zeros(MEMBERS, 1, n_out)))

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, d), scaled."""
        y = x.expand(MEMBERS, -1, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias, y, weight)
            y = y.relu() if i < len(self.weights) - 1 else y
        return y[..., 0]


class _Recurrent(nn.Module):
    """(n, length) tokens -> (members, n). A token that was never seen reads as the last known one."""

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.embeddings = nn.ModuleList(nn.Embedding(n_tokens, _EMBEDDING) for _ in range(MEMBERS))
        self.lstms = nn.ModuleList(nn.LSTM(_EMBEDDING, _STATES, batch_first=True) for _ in range(MEMBERS))
        self.outputs = nn.ModuleList(nn.Linear(_STATES, 1) for _ in range(MEMBERS))

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, length)."""
        x = x.clamp(max=self.n_tokens - 1)
        members = zip(self.embeddings, self.lstms, self.outputs, strict=True)
        return torch.stack([out(lstm(embed(x))[0][:, -1])[:, 0] for embed, lstm, out in members])


def _fit(
    net: nn.Module,
    read: Callable[[Array | Indices], Tensor],
    x: Array | Indices,
    targets: Array,
    epochs: int,
    generator: torch.Generator,
) -> Predictor:
    """Adam on whole batches; each member leaves out another fifth of the rows where there are five."""
    mean, deviation = float(targets.mean()), float(targets.std()) or 1.0
    y = torch.from_numpy((targets - mean) / deviation).float()
    inputs, n = read(x), len(targets)
    fold = torch.randperm(n, generator=generator) % MEMBERS
    kept = (fold[None, :] != torch.arange(MEMBERS)[:, None]) if n >= MEMBERS else torch.ones(MEMBERS, n)
    weight = kept.float() / kept.float().sum(dim=1, keepdim=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        optimiser.zero_grad()
        (weight * (net(inputs) - y) ** 2).sum().backward()
        optimiser.step()
        schedule.step()

    @torch.inference_mode()
    def predict(rows: Array | Indices) -> Array:
        parts = [net(part) for part in torch.split(read(rows), _CHUNK)]
        values: Array = torch.cat(parts, dim=1).double().numpy() * deviation + mean
        return values

    return predict
