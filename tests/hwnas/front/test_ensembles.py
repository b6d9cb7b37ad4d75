"""Ensembles: they learn what can be learned, their members differ, and the seed decides."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from hwnas.front.ensembles import MEMBERS, fit_perceptrons, fit_recurrent

RNG = np.random.default_rng(0)


def test_perceptrons_are_ahead_of_a_line_where_there_is_a_bend() -> None:
    x = RNG.normal(size=(300, 3)) * [1, 10, 0] + [0, 5, 7]  # one column without spread
    y = np.abs(x[:, 0]) + 0.1 * x[:, 1]
    fitted = fit_perceptrons(x[:200], y[:200], epochs=150, seed=0)(x[200:])
    line = LinearRegression().fit(x[:200], y[:200]).predict(x[200:])
    assert fitted.shape == (MEMBERS, 100)
    assert np.mean((fitted.mean(axis=0) - y[200:]) ** 2) < 0.2 * np.mean((line - y[200:]) ** 2)


@pytest.mark.slow
def test_recurrent_networks_learn_an_order_of_tokens() -> None:
    """How often a token is followed by itself: no count of tokens tells it."""
    tokens = RNG.integers(0, 4, size=(400, 6))
    y = (tokens[:, 1:] == tokens[:, :-1]).sum(axis=1).astype(float)
    fitted = fit_recurrent(tokens[:300], y[:300], epochs=150, seed=0)(tokens[300:])
    assert np.corrcoef(fitted.mean(axis=0), y[300:])[0, 1] > 0.7


def test_the_seed_decides_and_members_differ_most_far_from_the_data() -> None:
    x = RNG.normal(size=(60, 2))
    y = x[:, 0]
    near, far = x[:20], x[:20] * 10
    predict = fit_perceptrons(x, y, epochs=60, seed=1)
    assert (predict(near) == fit_perceptrons(x, y, epochs=60, seed=1)(near)).all()
    assert (predict(near) != fit_perceptrons(x, y, epochs=60, seed=2)(near)).any()
    assert predict(far).std(axis=0).mean() > 3 * predict(near).std(axis=0).mean()


def test_a_token_that_was_never_seen_can_be_read() -> None:
    tokens = np.array([[0, 1], [1, 0], [1, 1]])
    assert np.isfinite(fit_recurrent(tokens, np.array([1.0, 2.0, 3.0]), epochs=2, seed=0)(tokens + 5)).all()
