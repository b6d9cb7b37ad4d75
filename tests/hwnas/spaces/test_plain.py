"""The plain networks of every space: what a person would write down, and nothing that is not in the space."""

from pathlib import Path

import numpy as np
import pytest

from hwnas.core.network_space import NetworkSpace
from hwnas.spaces import SPACES, load_space
from tests.support.spaces import TINY_STAGES, mobile_space

LAYERED = ("mobile", "proxyless")


def space_of(name: str) -> NetworkSpace:
    return load_space(name, image_size=32, in_channels=1 if name == "recurrent" else 3, n_classes=10)


@pytest.mark.parametrize("name", SPACES)
def test_plain_networks_are_different_architectures_of_the_space(name: str) -> None:
    space = space_of(name)
    plain = space.plain()
    assert all(space.valid(arch) and space.canonical(arch) == arch for arch in plain)
    assert len({space.key(arch) for arch in plain}) == len(plain)
    assert bool(plain) == (name in (*LAYERED, "recurrent"))


def test_those_of_mobile_are_two_operations_at_each_depth_and_number_of_wide_stages() -> None:
    """Of images of 32 px four of five stages have a second layer: 2 x 2 x 6 networks."""
    space = mobile_space()
    keys = [space.key(arch) for arch in space.plain()]
    assert len(keys) == 24
    least = "8:mb3e3/16:mb3e3:skip/24:mb3e3:skip/32:mb3e3:skip/40:mb3e3:skip"
    most = "16:mb3e6/24:mb3e6:mb3e6/32:mb3e6:mb3e6/40:mb3e6:mb3e6/56:mb3e6:mb3e6"
    assert (keys[0], keys[-1]) == (least, most)
    macs = [sum(space.blocks()[key].macs for key in space.block_keys(arch)) for arch in space.plain()]
    assert np.argmin(macs) == 0 and np.argmax(macs) == 23


def test_a_stage_that_lacks_the_operation_has_its_own() -> None:
    """The first stage of `proxyless` has one operation, of the others the paper's two expansions are left."""
    space = mobile_space("proxyless")
    for arch in space.plain():
        first, *stages = space.key(arch).split("/")
        names = {name for stage in stages for name in stage.split(":")[1:]} - {"skip"}
        assert first == "8:mb3e1" and len(names) == 1 and names <= {"mb3e3", "mb3e6"}


def test_a_space_without_the_usual_operations_has_its_first_one(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(TINY_STAGES.replace('"mb3e3", "fused3e3"', '"fused5e2", "mb7e4-se"'))
    space = load_space(str(path), image_size=64, in_channels=3, n_classes=10)
    names = {name for arch in space.plain() for name in space.key(arch).replace("/", ":").split(":")}
    assert {name for name in names if not name.isdigit()} == {"fused5e2", "skip"}
