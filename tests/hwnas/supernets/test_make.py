"""A supernet is chosen by the kind of space."""

from __future__ import annotations

import pytest

from hwnas import supernets
from hwnas.core.space import Space
from hwnas.networks.modules import module_of
from hwnas.networks.wrappers import Partial
from hwnas.spaces import load_space
from targets.errors import UsageError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mobile", supernets.MobileSupernet),
        ("proxyless", supernets.MobileSupernet),
        ("darts", supernets.CellSupernet),
        ("nasbench201", supernets.CellSupernet),
        ("enas-macro", supernets.MacroSupernet),
        ("pnas", supernets.PairSupernet),
    ],
)
def test_every_space_of_the_package_has_one(name: str, kind: type) -> None:
    assert type(supernets.make(load_space(name, image_size=32, in_channels=3, n_classes=10))) is kind


def test_an_unknown_kind_is_told_how_to_get_one() -> None:
    with pytest.raises(UsageError, match=r"class Space; register .*supernets\.make\.register"):
        supernets.make(Space("empty", []))  # type: ignore[arg-type]  # what is refused


def test_layers_are_no_edges_to_wrap() -> None:
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    with pytest.raises(UsageError, match="no edges that Partial could wrap"):
        supernets.make(space, None, Partial(2))


def test_an_unknown_block_has_no_module() -> None:
    with pytest.raises(TypeError, match="blocks of class str"):
        module_of("a block")  # type: ignore[arg-type]  # what is refused
