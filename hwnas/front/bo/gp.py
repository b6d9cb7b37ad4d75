"""A Gaussian process for a few hundred rows: the kernel, its likelihood, the fit and the posterior.

Features come in groups; a group has one length scale, so that a space may state many features without one
parameter for each. With d2 = sum over groups of mean squared difference / length^2 [1],

    covariance = variance * (exp(-d2 / 2) + noise * same),

where `same` is 1 between a row and itself, and the mean is that of the targets. The variance has a closed
form given the others ([1], 2.3, by differentiating the marginal likelihood), so a fit searches over length
scales and noise alone.

[1] Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2, 2.7 and 5.4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from hwnas.core.arrays import Array

N_DRAWS = 24
_SMALLEST_NOISE = 1e-6
_LENGTH, _NOISE = (np.log(2.0), 1.0), (np.log(3e-2), 2.0)
"""Mean and deviation of the prior of a hyperparameter's logarithm. Features have deviation 1."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Rows as the kernel reads them. groups: per group (n, features), scaled."""

    groups: tuple[Array, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.groups[0])

    def take(self, rows: NDArray[np.int64]) -> Inputs:
        """The rows of these indices."""
        return Inputs(tuple(g[rows] for g in self.groups))


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Logarithms. lengths: one per group; noise: its share of the variance."""

    lengths: tuple[float, ...]
    noise: float

    def vector(self) -> Array:
        """All of them in one row."""
        return np.array([*self.lengths, self.noise])

    @classmethod
    def of(cls, vector: Array) -> Hyperparameters:
        """The inverse of `vector`."""
        *lengths, noise = (float(v) for v in vector)
        return cls(tuple(lengths), noise)


def squared_distances(a: Array, b: Array) -> Array:
    """Mean squared difference of the features: (n, d), (m, d) -> (n, m)."""
    width = max(a.shape[1], 1)
    sums: Array = a @ (-2 / width * b.T)
    sums += (np.einsum("ij,ij->i", a, a) / width)[:, None]
    sums += np.einsum("ij,ij->i", b, b) / width
    return np.maximum(sums, 0.0, out=sums)


def covariance(at: Hyperparameters, a: Inputs, b: Inputs) -> Array:
    """The covariance of two sets of rows, without noise and in units of the variance: (n, m)."""
    d2 = np.zeros((len(a), len(b)))
    for x, y, length in zip(a.groups, b.groups, at.lengths, strict=True):
        d2 += np.exp(-2 * length) * squared_distances(x, y)
    shares: Array = np.exp(-d2 / 2)
    return shares


class Likelihood:
    """The log marginal likelihood of targets (n,) as a function of the hyperparameters, and its gradient."""

    def __init__(self, inputs: Inputs, targets: Array) -> None:
        self._distances = [squared_distances(g, g) for g in inputs.groups]
        self._targets = targets

    def __call__(self, vector: Array) -> tuple[float, Array]:
        """Value at the most likely variance, and the gradient in the logarithms."""
        *lengths, noise = vector
        n = len(self._targets)
        parts = [d / np.exp(2 * length) for d, length in zip(self._distances, lengths, strict=True)]
        smooth = np.exp(-sum(parts, np.zeros((n, n))) / 2)
        total = smooth.copy()
        total[np.diag_indices(n)] += np.exp(noise) + _SMALLEST_NOISE
        root = cholesky(total, lower=True, check_finite=False)
        inverse = cho_solve((root, True), np.eye(n), check_finite=False)
        weights = inverse @ self._targets
        variance = max(float(self._targets @ weights) / n, 1e-300)
        value = -n / 2 * (np.log(2 * np.pi * variance) + 1) - float(np.log(np.diag(root)).sum())
        slope = np.outer(weights, weights) / variance - inverse
        gradient = [float((slope * smooth * p).sum()) / 2 for p in parts]
        gradient.append(float(np.exp(noise) * np.trace(slope)) / 2)
        return value, np.array(gradient)


def prior(vector: Array) -> tuple[float, Array]:
    """The logarithm of the prior density up to a constant, and its gradient: normal in the logarithms."""
    mean, deviation = _prior_parameters(len(vector) - 1)
    score = (vector - mean) / deviation
    return float(-(score**2).sum() / 2), -score / deviation


def fit(
    inputs: Inputs,
    targets: Array,
    rng: np.random.Generator,
    start: Hyperparameters | None = None,
    least_noise: float = 0.0,
) -> Hyperparameters:
    """The most probable hyperparameters, climbed to from the best of 24 draws and `start`.

    least_noise: the share of the variance that the noise is known to be at least.
    """
    likelihood = Likelihood(inputs, targets)

    def loss(vector: Array) -> tuple[float, Array]:
        (value, slope), (density, pull) = likelihood(vector), prior(vector)
        return -value - density, -slope - pull

    starts = _draws(rng, len(inputs.groups)) + ([start.vector()] if start else [])
    first = min(starts, key=lambda vector: loss(vector)[0])
    bounds = [(-4.0, 4.0)] * len(inputs.groups) + [
        (max(-12.0, min(np.log(max(least_noise, 1e-12)), 2.0)), 3.0)
    ]
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30})
    return Hyperparameters.of(found.x)


def _draws(rng: np.random.Generator, n_groups: int) -> list[Array]:
    mean, deviation = _prior_parameters(n_groups)
    return [rng.uniform(mean - deviation, mean + deviation) for _ in range(N_DRAWS)]


def _prior_parameters(n_groups: int) -> tuple[Array, Array]:
    mean, deviation = np.array([_LENGTH] * n_groups + [_NOISE]).T
    return mean, deviation


class Posterior:
    """What rows (n,) and their targets say about others; the targets' mean and deviation are taken out.

    conditioned: rows without a target (pending, or proposed in the same batch), which are taken to turn out
    as predicted (the kriging believer): they leave every mean as it is and lower the deviations around them.
    """

    def __init__(
        self,
        at: Hyperparameters,
        inputs: Inputs,
        targets: Array,
        repeats: Array | None = None,
    ) -> None:
        """Repeats (n,): how often each row was observed, its target being the mean; None is once."""
        self._at, self._inputs = at, inputs
        self._mean, self._deviation = float(targets.mean()), float(targets.std()) or 1.0
        counts = np.ones(len(targets)) if repeats is None else repeats
        total = covariance(at, inputs, inputs)
        self.noise = float(np.exp(at.noise)) + _SMALLEST_NOISE
        total[np.diag_indices(len(targets))] += self.noise / counts
        self._root = cholesky(total, lower=True, check_finite=False)
        scaled = (targets - self._mean) / self._deviation
        self._weights = cho_solve((self._root, True), scaled, check_finite=False)
        self.variance = float(scaled @ self._weights) / len(targets) * self._deviation**2

    def at(self, inputs: Inputs) -> Belief:
        """The belief about other rows."""
        cross = covariance(self._at, self._inputs, inputs)
        reduced = solve_triangular(self._root, cross, lower=True, check_finite=False)
        left = np.maximum(1 - (reduced**2).sum(0), 1e-12)
        mean = self._mean + self._deviation * (self._weights @ cross)
        return Belief(self, inputs, mean, left, reduced)

    def between(self, inputs: Inputs, other: Inputs) -> Array:
        """The prior covariance of two sets of rows in units of the variance."""
        return covariance(self._at, inputs, other)


class Belief:
    """Means (n,) and deviations (n,) of rows, which `believe` updates in O(n)."""

    def __init__(
        self, posterior: Posterior, inputs: Inputs, mean: Array, share: Array, reduced: Array
    ) -> None:
        self._posterior, self._inputs = posterior, inputs
        self.mean, self._share, self._reduced = mean, share, reduced
        self._steps: list[Array] = []

    @property
    def deviation(self) -> Array:
        """Of the value without noise, in the unit of the targets."""
        return np.sqrt(self._share * self._posterior.variance)

    @property
    def observed_deviation(self) -> Array:
        """The same of an observation, with its noise."""
        return np.sqrt((self._share + self._posterior.noise) * self._posterior.variance)

    def believe(self, row: int) -> None:
        """Take row `row` for observed, with its mean as the value."""
        one = self._inputs.take(np.array([row]))
        joint = self._posterior.between(self._inputs, one)[:, 0] - self._reduced.T @ self._reduced[:, row]
        for step in self._steps:
            joint = joint - step * step[row]
        step = joint / np.sqrt(self._share[row] + self._posterior.noise)
        self._share = np.maximum(self._share - step**2, 1e-12)
        self._steps.append(step)
