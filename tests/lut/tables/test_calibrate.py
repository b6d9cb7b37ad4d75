from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize

from lut.tables.calibrate import (
    LEAST_SHARE,
    BlockCosts,
    Calibration,
    fit_calibration,
    least_squares_within,
)

KINDS = {"conv@16": 60.0, "conv@8": 30.0, "pool@16": 9.0, "pool@8": 6.0, "head@8": 8.0}
"""Microseconds of a block measured alone."""


def cells(rng: np.random.Generator, n: int) -> list[tuple[str, ...]]:
    """Networks of 60 blocks, from all convolutions to all poolings."""
    networks = []
    for share in np.linspace(0.0, 1.0, n):
        ops = rng.choice(["conv", "pool"], 59, p=[share, 1 - share])
        networks.append((*[f"{op}@{16 if i < 30 else 8}" for i, op in enumerate(ops)], "head@8"))
    return networks


COSTS = BlockCosts(
    {key: us / 1e3 for key, us in KINDS.items()}, dict.fromkeys(KINDS, 0.0) | {"conv@8": 5e4, "conv@16": 1e4}
)
GROUPS = {key: key for key in KINDS}


def true_ms(networks) -> np.ndarray:
    """A pooling costs a third in a network of what it costs alone, a convolution 1.1 times as much."""
    share = {"conv": 1.1, "pool": 1 / 3, "head": 1.0}
    return np.array(
        [0.1 + sum(share[k.split("@")[0]] * COSTS.uncalibrated_ms[k] for k in n) for n in networks]
    )


def test_groups_that_share_their_borders_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    fitted, checked = cells(rng, 14), cells(rng, 14)
    calibration, costs = fit_calibration(COSTS, GROUPS, fitted, true_ms(fitted), square=True)
    assert np.abs(calibration.networks_ms(costs, checked) / true_ms(checked) - 1).mean() < 0.02
    price_ms = {k: calibration.block_ms(costs.cost_ms(k), costs.weight_bytes[k]) for k in KINDS}
    assert price_ms["conv@16"] == pytest.approx(0.066, rel=0.1)
    assert price_ms["pool@16"] < 0.7 * COSTS.uncalibrated_ms["pool@16"]


def test_every_block_keeps_a_share_of_its_cost_and_a_network_is_the_sum_of_its_blocks() -> None:
    """Where poolings seem to take time away, the fit itself keeps them above their share."""
    rng = np.random.default_rng(1)
    networks = cells(rng, 14)
    fewer = true_ms(networks) - 0.02 * np.array([sum(k.startswith("pool") for k in n) for n in networks])
    calibration, costs = fit_calibration(COSTS, GROUPS, networks, np.maximum(fewer, 0.05), square=True)
    blocks = {k: calibration.block_ms(costs.cost_ms(k), costs.weight_bytes[k]) for k in KINDS}
    for key, ms in blocks.items():
        assert ms >= 0.999 * LEAST_SHARE * COSTS.uncalibrated_ms[key]
    sums = np.array([sum(blocks[k] for k in n) for n in networks])
    squares = calibration.per_weight_byte2_ms * costs.sums(networks)[:, 2] ** 2
    assert calibration.networks_ms(costs, networks) == pytest.approx(
        calibration.intercept_ms + sums + squares
    )


def test_a_block_that_no_network_has_keeps_its_share_too() -> None:
    costs = BlockCosts({**COSTS.uncalibrated_ms, "rare@8": 0.004}, {**COSTS.weight_bytes, "rare@8": 0.0})
    networks = cells(np.random.default_rng(2), 14)
    calibration, found = fit_calibration(
        costs, {**GROUPS, "rare@8": "rare@8"}, networks, 0.6 * true_ms(networks), square=False
    )
    assert found.factors["rare@8"] == 1.0
    assert calibration.block_ms(found.cost_ms("rare@8"), 0.0) >= 0.999 * LEAST_SHARE * 0.004
    assert calibration.per_weight_byte2_ms == 0.0


def test_the_sum_of_a_calibration_by_hand() -> None:
    line = Calibration(0.1, 1.2, -0.01, 1e-6, 1e-12)
    costs = BlockCosts({"a": 0.2, "b": 0.4}, {"a": 1e4, "b": 2e4}, {"a": 0.5})
    expected = 0.1 + 1.2 * (0.1 + 2 * 0.4) - 0.03 + 1e-6 * 5e4 + 1e-12 * 25e8
    assert line.networks_ms(costs, [("a", "b", "b")]) == pytest.approx([expected])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6))
def test_limits_that_are_bounds_give_what_scipy_gives(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, low = rng.standard_normal((k + 5, k)), rng.standard_normal(k + 5), rng.standard_normal(k)
    expected = lsq_linear(a, b, bounds=(low, np.inf), tol=1e-12).x
    assert least_squares_within(a, b, np.eye(k), low) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_limits_of_any_kind_give_what_a_general_optimiser_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((9, 4)), rng.standard_normal(9)
    g = rng.standard_normal((6, 4))
    h = g @ rng.standard_normal(4) - 0.3  # some point is allowed
    found = least_squares_within(a, b, g, h)
    assert (g @ found >= h - 1e-9).all()
    best = minimize(
        lambda z: np.sum((a @ z - b) ** 2),
        np.linalg.lstsq(g, h + 0.1, rcond=None)[0],
        constraints={"type": "ineq", "fun": lambda z: g @ z - h},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert np.sum((a @ found - b) ** 2) <= best.fun + 1e-6
