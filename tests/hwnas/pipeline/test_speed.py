"""How fast trainings are: the cheapest network is the cheapest of all, and takes less than the middle one."""

from __future__ import annotations

from hwnas.costs.cost_model import CostModel
from hwnas.pipeline.speed import cheapest_near, measure_speed
from hwnas.spaces import load_space


def test_single_steps_lead_to_the_cheapest_network_of_all() -> None:
    space = load_space("nasbench201", image_size=16, in_channels=3, n_classes=3)
    costs = CostModel(space)
    archs = [arch for arch in space.enumerate() if space.reads_image(arch)]
    macs = costs.of(archs)["macs"]
    for arch in archs[:: len(archs) // 7]:
        found = cheapest_near(space, costs, arch)
        assert costs.of([found])["macs"][0] == macs.min()


def test_networks_that_a_search_proposes_take_less_than_the_middle_one() -> None:
    speed = measure_speed(
        load_space("mobile", image_size=32, in_channels=3, n_classes=3), 1, rounds=2, least_s=0.2
    )
    assert 0.1 < speed.proposed < 0.9
    assert speed.image_s > 0 and speed.slowness >= 1
