"""Schedules of edge wrappers."""

from __future__ import annotations

import math

import pytest

from hwnas.core.registry import bound, part
from hwnas.gradient.parts.schedules import SCHEDULES


def test_schedules_have_the_published_values() -> None:
    skip = bound(SCHEDULES, part("skip_dropout", p0=0.4))
    # 25 epochs, the first 10 frozen: epoch 5: 0.4 x 20/25; epoch 10: 0.4; epoch 15: 0.4 exp(-0.2 x 5)
    assert [skip(e / 25, 0.4) for e in (5, 10, 15)] == pytest.approx([0.32, 0.4, 0.4 * math.exp(-1)])
    assert SCHEDULES["linear"](0.25, 0.0, start=1.0, end=0.0) == 0.75
