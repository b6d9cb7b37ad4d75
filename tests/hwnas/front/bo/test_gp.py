"""The Gaussian process against scikit-learn's, with the same kernel."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from hwnas.front.bo.gp import Hyperparameters, Inputs, Likelihood, Posterior, fit, prior

AT = Hyperparameters(lengths=(0.3,), noise=-2.5)
RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(25, 3)), RNG.normal(size=(9, 3))
Y = np.sin(X[:, 0]) + 0.3 * X[:, 1] + 0.1 * RNG.normal(size=25)


def inputs(x: np.ndarray) -> Inputs:
    return Inputs((x,))


def theirs(variance: float) -> GaussianProcessRegressor:
    """scikit-learn's with our kernel, in which the mean of the squares is their sum over 3 features / 3."""
    smooth = RBF(np.exp(AT.lengths[0]) * np.sqrt(3))
    kernel = ConstantKernel(variance) * (smooth + WhiteKernel(np.exp(AT.noise) + 1e-6))
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0)


def test_posterior_is_scikit_learns() -> None:
    scaled = (Y - Y.mean()) / Y.std()
    ours = Posterior(AT, inputs(X), Y)
    belief = ours.at(inputs(X_NEW))
    variance = ours.variance / Y.std() ** 2
    regressor = theirs(variance).fit(X, scaled)
    mean, deviation = regressor.predict(X_NEW, return_std=True)
    np.testing.assert_allclose(belief.mean, Y.mean() + Y.std() * mean, rtol=1e-8)
    # theirs is of a new observation, ours of the value without noise
    noise = variance * (np.exp(AT.noise) + 1e-6)
    np.testing.assert_allclose(belief.deviation, Y.std() * np.sqrt(deviation**2 - noise), rtol=1e-6)


def test_marginal_likelihood_is_scikit_learns_at_the_most_likely_variance() -> None:
    scaled = (Y - Y.mean()) / Y.std()
    value, _ = Likelihood(inputs(X), scaled)(AT.vector())
    variance = Posterior(AT, inputs(X), Y).variance / Y.std() ** 2
    best = theirs(variance).fit(X, scaled).log_marginal_likelihood_value_
    assert value == pytest.approx(best, rel=1e-9)
    for other in (0.9 * variance, 1.1 * variance):
        assert theirs(other).fit(X, scaled).log_marginal_likelihood_value_ < best


def test_gradients_are_those_of_finite_differences() -> None:
    both = Inputs((X[:, :2], X[:, 2:]))
    likelihood = Likelihood(both, (Y - Y.mean()) / Y.std())
    at = np.array([0.2, -0.4, -2.0])
    for function in (likelihood, prior):
        for i, slope in enumerate(function(at)[1]):
            step = 1e-5 * np.eye(3)[i]
            assert slope == pytest.approx((function(at + step)[0] - function(at - step)[0]) / 2e-5, rel=1e-4)


def test_the_fit_improves_on_its_start_and_is_the_same_for_the_same_seed() -> None:
    scaled = (Y - Y.mean()) / Y.std()
    likelihood = Likelihood(inputs(X), scaled)

    def quality(at: Hyperparameters) -> float:
        return likelihood(at.vector())[0] + prior(at.vector())[0]

    fitted = fit(inputs(X), scaled, np.random.default_rng(1))
    assert fitted == fit(inputs(X), scaled, np.random.default_rng(1))
    assert quality(fit(inputs(X), scaled, np.random.default_rng(1), AT)) > quality(AT)
    assert quality(fitted) > quality(AT)


def test_the_fitted_noise_is_at_least_what_is_known_of_it() -> None:
    scaled = (Y - Y.mean()) / Y.std()
    free = fit(inputs(X), scaled, np.random.default_rng(1))
    held = fit(inputs(X), scaled, np.random.default_rng(1), least_noise=0.5)
    assert np.exp(free.noise) < 0.5 <= np.exp(held.noise) * (1 + 1e-9)


def test_believing_is_observing_the_mean() -> None:
    """With the variance and the scale of the targets held, as one more row would change both."""
    posterior = Posterior(AT, inputs(X), Y)
    belief = posterior.at(inputs(X_NEW))
    mean = belief.mean.copy()
    for row in (4, 7):
        belief.believe(row)
    more = Posterior(AT, inputs(np.vstack([X, X_NEW[[4, 7]]])), np.append(Y, mean[[4, 7]])).at(inputs(X_NEW))
    np.testing.assert_array_equal(belief.mean, mean)
    assert belief.deviation[4] < 0.95 * posterior.at(inputs(X_NEW)).deviation[4]
    shares = belief.deviation / belief.deviation[0]
    np.testing.assert_allclose(shares, more.deviation / more.deviation[0], rtol=1e-6)


def test_repeated_rows_weigh_as_often_as_they_were_observed() -> None:
    twice = Posterior(AT, inputs(np.vstack([X, X[:1]])), np.append(Y, Y[0]))
    once = Posterior(AT, inputs(X), Y, repeats=np.array([2.0] + [1.0] * 24))
    a, b = twice.at(inputs(X_NEW)), once.at(inputs(X_NEW))
    ratio = a.deviation / b.deviation
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_equal_targets_leave_no_division_by_zero() -> None:
    belief = Posterior(AT, inputs(X), np.full(25, 0.25)).at(inputs(X_NEW))
    np.testing.assert_allclose(belief.mean, 0.25)
    assert np.isfinite(belief.deviation).all()
