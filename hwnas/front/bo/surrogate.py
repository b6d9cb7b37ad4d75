"""The surrogate of a Bayesian search: a Gaussian process on the logarithm of the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.core.arrays import Array

from .catalogue import Catalogue, Rows
from .gp import Belief, Hyperparameters, Inputs, Posterior, fit

_SMALLEST_ERROR = 1e-4
_MOST_ROWS = 800
_MOST_ROWS_FIT = 300
"""Rows that hyperparameters are fitted to: evenly taken from more."""
_MOST_CHANCE = 0.9
"""Of the variance of log errors: something is left for the architectures."""


InputsOf = Callable[[Rows], Inputs]
"""Rows of the catalogue as the kernel reads them."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """rows: the observed ones it rests on. mean, deviation: of their log error. worst: the largest error."""

    rows: Rows
    posterior: Posterior
    mean: Array
    deviation: Array
    worst: float
    inputs_of: InputsOf

    def at(self, rows: Rows) -> Belief:
        """The belief about the log error of any rows."""
        return self.posterior.at(self.inputs_of(rows))


class Surrogate:
    """Makes the model of observations; the hyperparameters follow from them and the seed."""

    def __init__(
        self,
        catalogue: Catalogue,
        inputs_of: InputsOf,
        rng: Callable[[int], np.random.Generator],
        n_images: int | None = None,
    ) -> None:
        """Rng: the generator of the fit to so many rows. n_images: that an error is a share of."""
        self._catalogue, self._inputs_of, self._rng = catalogue, inputs_of, rng
        self._n_images = n_images
        self._smallest_error = _SMALLEST_ERROR if n_images is None else 0.5 / n_images
        self._fits: dict[int, tuple[Rows, Array, Hyperparameters]] = {}

    def model(self, rows: Sequence[int], errors: Sequence[float]) -> Model:
        """The model of observed rows; a row that comes more than once counts with its mean and its number."""
        logs: dict[int, list[float]] = {}
        for row, error in zip(rows, errors, strict=True):
            logs.setdefault(int(row), []).append(float(np.log(max(error, self._smallest_error))))
        different = np.array(list(logs), dtype=np.int64)
        means = np.array([np.mean(values) for values in logs.values()])
        counts = np.array([float(len(values)) for values in logs.values()])
        at = self._hyperparameters(different, means)
        keep = np.sort(np.argsort(self._excess(different, means), kind="stable")[:_MOST_ROWS])
        inputs = self._inputs_of(different[keep])
        posterior = Posterior(at, inputs, means[keep], counts[keep])
        belief = posterior.at(inputs)
        return Model(
            rows=different[keep],
            posterior=posterior,
            mean=belief.mean,
            deviation=belief.deviation,
            worst=float(np.exp(means.max())),
            inputs_of=self._inputs_of,
        )

    def _excess(self, rows: Rows, logs: Array) -> Array:
        """How far each log error is above the smallest at no higher costs. The farthest go first."""
        if len(rows) <= _MOST_ROWS:
            return np.zeros(len(rows))
        costs = self._catalogue.known(rows)
        smallest = [logs[(costs <= cost).all(axis=1)].min() for cost in costs]
        excess: Array = logs - np.array(smallest)
        return excess

    def _chance(self, logs: Array) -> float:
        """Variance of log errors by the choice of images, as a share of the variance that is left.

        That of one error is (1 - e) / (e n), by the delta method.
        """
        if self._n_images is None:
            return 0.0
        errors = np.exp(logs)
        sampling = float(np.mean((1 - errors) / (errors * self._n_images)))
        share = min(sampling / (float(logs.var()) or 1.0), _MOST_CHANCE)
        return share / (1 - share)

    def _hyperparameters(self, rows: Rows, logs: Array) -> Hyperparameters:
        """Fitted to the first 5, 10, 15, … rows, each time from the values before."""
        at: Hyperparameters | None = None
        for size in refits(len(rows)):
            memo = self._fits.get(size)
            if memo is None or not (
                np.array_equal(memo[0], rows[:size]) and np.array_equal(memo[1], logs[:size])
            ):
                thin = np.unique(np.linspace(0, size - 1, min(size, _MOST_ROWS_FIT)).round().astype(np.int64))
                values = logs[:size][thin]
                scaled = (values - values.mean()) / (values.std() or 1.0)
                inputs, noise = self._inputs_of(rows[:size][thin]), self._chance(values)
                fitted = fit(inputs, scaled, self._rng(size), at, least_noise=noise)
                memo = self._fits[size] = (rows[:size], logs[:size], fitted)
            at = memo[2]
        assert at is not None
        return at


def refits(n: int) -> list[int]:
    """At how many rows hyperparameters are fitted, up to `n`: each 5, later each fifth more."""
    sizes = [min(n, 5)]
    while (following := sizes[-1] + max(5, sizes[-1] // 5)) <= n:
        sizes.append(following)
    return sizes
