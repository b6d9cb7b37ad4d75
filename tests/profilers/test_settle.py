from __future__ import annotations

import numpy as np
import pytest

from profilers.settle import choose_anchor, settle
from profilers.stats import undisturbed


def busy(true_ms: float, n: int, share_quiet: float, seed: int) -> np.ndarray:
    """Samples beside a neighbour that slows down 1.4 times and rests for a share of the time; 1 % noise."""
    rng = np.random.default_rng(seed)
    slow = np.where(rng.random(n) < share_quiet, 1.0, 1.4)
    return true_ms * slow * rng.uniform(1.0, 1.02, n)


def row(key: str, samples: np.ndarray, reference: np.ndarray) -> dict:
    return {
        "key": key,
        "clock": "cpu",
        "cpu_ms": samples.tolist(),
        "wall_ms": [9.0] * len(samples),
        "reference_quantiles_ms": np.quantile(reference, np.linspace(0, 1, 41)).tolist(),
    }


def test_a_quiet_machine_keeps_the_lowest_anchor() -> None:
    assert choose_anchor([busy(1.0, 40, 0.9, seed) for seed in range(30)]) == 0.05
    assert choose_anchor([]) == 0.05


def test_a_machine_that_rarely_rests_is_measured_in_its_busy_state() -> None:
    assert choose_anchor([busy(1.0, 40, 0.05, seed) for seed in range(30)]) >= 0.2


@pytest.mark.parametrize("share_quiet", [0.02, 0.05, 0.1, 0.3, 0.6, 1.0])
def test_ratios_to_the_reference_are_right_in_every_state(share_quiet: float) -> None:
    true = {f"n{i}": 0.01 * 1.2**i for i in range(30)}
    reference = busy(0.05, 400, share_quiet, 99)
    rows = settle([row(k, busy(t, 40, share_quiet, i), reference) for i, (k, t) in enumerate(true.items())])
    errors = [abs(r["p20_ms"] / r["reference_p20_ms"] * 0.05 / true[r["key"]] - 1) for r in rows]
    assert np.mean(errors) < (0.05 if share_quiet < 0.3 else 0.01)
    assert np.median(errors) < 0.01
    assert len({r["anchor"] for r in rows}) == 1


def test_the_window_has_two_sides() -> None:
    x = np.array([1.0, 1.35, 1.4, 1.45, 2.0])
    assert undisturbed(x, 0.5).tolist() == [1.35, 1.4, 1.45]
    assert undisturbed(x, 0.05).tolist() == [1.0]
