"""Ridge regression for several penalties against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from hwnas.training.ridge import ridges


@pytest.mark.parametrize("n", [30, 90], ids=["fewer samples than numbers", "more"])
def test_it_is_that_of_scikit_learn(n: int) -> None:
    rng = np.random.default_rng(0)
    x, targets, rows = rng.normal(2, 1, (n, 50)), rng.normal(1, 1, (n, 3)), rng.normal(2, 1, (7, 50))
    for penalty, answer in ridges(x.copy(), targets, (0.001, 0.1)):
        expected = Ridge(alpha=penalty * n, solver="cholesky").fit(x, targets).predict(rows)
        np.testing.assert_allclose(answer(rows), expected, rtol=1e-9)
