"""Which clock allows how much disagreement before a profile is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lut.caveats import NOISE, caveats, state
from lut.predictor.kernels.labels import Labelled
from lut.predictor.profile import steady
from targets.errors import TargetError
from tests.support.logs import silent


def measured(half_split: float) -> dict[str, Labelled]:
    return {f"n{i}": Labelled(f"n{i}", [], [], np.ones(1), 1.0, half_split, 30) for i in range(5)}


def test_the_wall_clock_must_be_quieter_than_the_cpu_clock() -> None:
    assert steady(measured(0.04), silent, "cpu")[1] == {}
    kept, noise = steady(measured(0.04), silent, "wall")
    assert (len(kept), noise[NOISE]) == (5, "two halves of the samples of a network differ by 4 %")
    assert len(steady(measured(0.12), silent, "cpu")[0]) == 5
    with pytest.raises(TargetError, match=r"differ by 12 % \(median; at most 10 % by the wall clock\)"):
        steady(measured(0.12), silent, "wall")


def test_unstable_networks_are_left_out_and_said() -> None:
    said: list[str] = []
    kept, noise = steady({**measured(0.01), "bad": measured(0.5)["n0"]}, said.append, "cpu")
    assert (len(kept), noise) == (5, {})
    assert "1 of 6 networks are unstable" in said[0]


def test_noise_that_is_accepted_leaves_nothing_out_and_is_said() -> None:
    with pytest.raises(TargetError, match="--accept-noise"):
        steady(measured(0.3), silent, "cpu")
    kept, noise = steady(measured(0.3), silent, "cpu", accept_noise=True)
    assert (len(kept), noise) == (5, {NOISE: "two halves of the samples of a network differ by 30 %"})
    assert (state(noise), caveats(noise)[0][:20]) == ("noisy", "the profile is noisy")
