"""EHVI against Monte Carlo over moocore's hypervolume, and exact against quasi-random."""

import moocore
import numpy as np
import pytest

from hwnas.front.bo import improvement
from hwnas.front.bo.improvement import Improvement, expected_improvement, undominated


def scene(n_costs: int, seed: int, n: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Known points (costs, errors) and candidates inside the unit box of costs."""
    rng = np.random.default_rng(seed)
    return rng.random((n, n_costs)), rng.uniform(0.05, 0.5, n), rng.random((12, n_costs))


def volume(costs: np.ndarray, errors: np.ndarray, worst: float) -> float:
    points = np.column_stack([costs, errors])
    return float(moocore.hypervolume(points, ref=np.array([1.0] * costs.shape[1] + [worst])))


def sampled(
    costs: np.ndarray, errors: np.ndarray, at: np.ndarray, drawn: np.ndarray, worst: float
) -> np.ndarray:
    """The volume that one candidate adds, per draw of its error."""
    before = volume(costs, errors, worst)
    return np.array([volume(np.vstack([costs, at]), np.append(errors, e), worst) - before for e in drawn])


@pytest.mark.slow
@pytest.mark.parametrize("n_costs", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_mean_of_the_hypervolume_that_draws_add(n_costs: int, seed: int) -> None:
    costs, errors, candidates = scene(n_costs, seed)
    found = Improvement(costs, errors, np.zeros(n_costs), np.ones(n_costs), worst=0.5)
    rng = np.random.default_rng(seed)
    for at in candidates[:4]:
        drawn = np.exp(rng.normal(np.log(0.2), 0.6, 4000))
        added = sampled(costs, errors, at, drawn, 0.5)
        value = found.of(at[None], np.array([np.log(0.2)]), np.array([0.6]))[0]
        assert abs(value - added.mean()) < 5 * added.std() / np.sqrt(len(drawn)) + 1e-12


@pytest.mark.parametrize("n_costs", [1, 2])
@pytest.mark.parametrize("n", [0, 1, 12])
def test_without_doubt_it_is_the_hypervolume_that_the_error_adds(n_costs: int, n: int) -> None:
    """n = 0: nothing is known yet. Some candidates lie below all known costs, some beyond the limits."""
    costs, errors, candidates = scene(n_costs, 5, n)
    candidates = np.vstack([candidates, np.full((1, n_costs), 0.001), np.full((1, n_costs), 1.2), costs])
    found = Improvement(costs, errors, np.zeros(n_costs), np.ones(n_costs), worst=0.5)
    for error in (0.03, 0.2, 0.6):
        values = found.of(candidates, np.full(len(candidates), np.log(error)), np.full(len(candidates), 1e-9))
        for at, value in zip(candidates, values, strict=True):
            assert value == pytest.approx(sampled(costs, errors, at, np.array([error]), 0.5)[0], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_three_costs_are_right_to_a_few_per_cent(seed: int) -> None:
    costs, errors, candidates = scene(3, seed)
    found = Improvement(costs, errors, np.zeros(3), np.ones(3), worst=0.5)
    error = np.full(len(candidates), np.log(0.04))
    exact = np.array([sampled(costs, errors, at, np.array([0.04]), 0.5)[0] for at in candidates])
    values = found.of(candidates, error, np.full(len(candidates), 1e-9))
    assert np.abs(values - exact).max() < 0.05 * exact.max()


def test_quasi_random_points_agree_with_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    costs, errors, candidates = scene(2, 8)
    mean, deviation = np.full(len(candidates), np.log(0.15)), np.full(len(candidates), 0.4)
    exact = Improvement(costs, errors, np.zeros(2), np.ones(2), worst=0.5).of(candidates, mean, deviation)
    monkeypatch.setattr(improvement, "LARGEST_GRID", 0)
    other = Improvement(costs, errors, np.zeros(2), np.ones(2), worst=0.5).of(candidates, mean, deviation)
    assert np.abs(other - exact).max() < 0.02 * exact.max()


def test_the_front_grows_as_if_it_had_been_known() -> None:
    for n_costs in (1, 2, 3):
        costs, errors, candidates = scene(n_costs, 3)
        box = (np.zeros(n_costs), np.ones(n_costs))
        mean, deviation = np.full(len(candidates), np.log(0.1)), np.full(len(candidates), 0.5)
        grown = Improvement(costs[:4], errors[:4], *box, worst=0.5)
        for at, error in zip(costs[4:], errors[4:], strict=True):
            grown.add(at, float(error))
        grown.add(np.full(n_costs, 2.0), 0.01)  # beyond the limits
        whole = Improvement(costs, errors, *box, worst=0.5)
        np.testing.assert_allclose(
            grown.of(candidates, mean, deviation), whole.of(candidates, mean, deviation), rtol=1e-12
        )


def test_without_known_costs_it_is_the_expected_improvement_of_the_best() -> None:
    none = np.zeros((3, 0))
    found = Improvement(none, np.array([0.3, 0.2, 0.4]), np.zeros(0), np.zeros(0), worst=0.5)
    mean, deviation = np.log([0.1, 0.2, 0.3]), np.array([0.1, 0.5, 0.3])
    expected = expected_improvement(mean, deviation, np.array(0.2))
    np.testing.assert_allclose(found.of(none, mean, deviation), expected)


def test_expected_improvement_by_integration() -> None:
    from scipy.integrate import quad
    from scipy.stats import lognorm

    for level, mean, deviation in (
        (0.1, np.log(0.12), 0.3),
        (0.3, np.log(0.1), 0.05),
        (0.05, np.log(0.2), 0.4),
    ):
        law = lognorm(s=deviation, scale=np.exp(mean))
        exact = quad(lambda e, law=law, level=level: (level - e) * law.pdf(e), 0, level, epsabs=1e-12)[0]
        value = expected_improvement(np.array(mean), np.array(deviation), np.array(level))
        assert float(value) == pytest.approx(exact, abs=1e-9)


def test_undominated_agrees_with_moocore() -> None:
    rng = np.random.default_rng(0)
    for n_axes in (1, 2, 3, 4):
        points = rng.integers(0, 5, (40, n_axes)).astype(float)
        keep = moocore.is_nondominated(points, keep_weakly=False)
        assert sorted(map(tuple, points[undominated(points)])) == sorted(map(tuple, points[keep]))
