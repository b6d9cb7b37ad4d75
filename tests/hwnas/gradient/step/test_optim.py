"""The optimiser of the weights."""

from __future__ import annotations

import pytest
import torch

from hwnas.gradient.step.optim import SGDSettings, WeightOptimizer
from targets.errors import UsageError


def test_warm_restarts_double_their_cosines() -> None:
    """SGDR with T0 = 10 and a factor of 2: cycles of 10, 20 and 40 epochs, each from 0.05 to 0.0005."""
    settings = SGDSettings(lr=0.05, min_lr=0.0005, cycles=3)
    optimizer = WeightOptimizer([torch.nn.Parameter(torch.zeros(1))], settings, 70)
    for start in (0, 10, 30):
        assert optimizer.lr_at(start) == pytest.approx(0.05)
    for middle in (5, 20, 50):
        assert optimizer.lr_at(middle) == pytest.approx((0.05 + 0.0005) / 2)
    assert optimizer.lr_at(70) == pytest.approx(0.0005)
    assert optimizer.lr_at(29) < 0.001 < optimizer.lr_at(9) < 0.002
    with pytest.raises(UsageError, match="at least one cycle, got 0"):
        SGDSettings(lr=0.1, cycles=0)
