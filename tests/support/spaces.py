"""Spaces of the package by their class, for tests that ask for what only that class has."""

from __future__ import annotations

from typing import Any

from hwnas.spaces import load_space
from hwnas.spaces.cells import CellSpace
from hwnas.spaces.mobile import MobileSpace


def mobile_space(name: str = "mobile", image_size: int = 32, n_classes: int = 10) -> MobileSpace:
    """A space of layers of colour images."""
    space = load_space(name, image_size=image_size, in_channels=3, n_classes=n_classes)
    assert isinstance(space, MobileSpace)
    return space


def cell_space(name: str, image_size: int = 32, n_classes: int = 10, **scale: Any) -> CellSpace:
    """A space of cells of colour images; scale: `cells`, `channels`."""
    space = load_space(name, image_size=image_size, in_channels=3, n_classes=n_classes, **scale)
    assert isinstance(space, CellSpace)
    return space


TINY_STAGES = """
operations = ["mb3e3", "fused3e3"]
[stem]
channels = 8
stride = 2
[head]
channels = 16
[[stages]]
widths = [8]
depth = 2
stride = 2
[[stages]]
widths = [16]
depth = 1
stride = 2
"""
"""A space of the kind of `mobile` in which a whole search takes seconds, as TOML."""
