"""How fast trainings are: networks that a search proposes take less than the middle one."""

from __future__ import annotations

from hwnas.pipeline.speed import measure_speed
from hwnas.spaces import load_space


def test_networks_that_a_search_proposes_take_less_than_the_middle_one() -> None:
    speed = measure_speed(
        load_space("mobile", image_size=32, in_channels=3, n_classes=3), 1, rounds=2, least_s=0.2
    )
    assert 0.1 < speed.proposed < 0.9
    assert speed.image_s > 0 and speed.slowness >= 1
