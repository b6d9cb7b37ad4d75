"""The supernets of a search, one per stage that begins anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from torch import nn

from hwnas import supernets
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.core.space import Space
from hwnas.networks.wrappers import Partial, Wrapper
from hwnas.spaces.cells import CellSpace
from hwnas.spaces.darts import DartsSpace
from targets.errors import UsageError

from .elastic import options_of_stages
from .method import Method
from .stage import Stage

SupernetFactory = Callable[[Stage], nn.Module]
"""Gives the supernet that a stage searches, with its depth and the wrappers of its edges."""


def stage_supernets(space: NetworkSpace, scale: Scale | None = None) -> SupernetFactory:
    """Fresh supernets at `scale` (None: the space's search scale), as deep and wrapped as each stage says."""
    scale = space.search_scale if scale is None else scale

    def make(stage: Stage) -> nn.Module:
        at = scale if stage.cells is None else replace(scale, cells=stage.cells)
        return supernets.make(space, at, *stage.wrappers(0.0))

    return make


class Rewrappable(Protocol):
    """A supernet with edges that can be wrapped."""

    def rewrap(self, *wrappers: Wrapper) -> None:
        """Change the values of the wrappers that it was made with."""


def copies_of(supernet: nn.Module, method: Method) -> SupernetFactory:
    """Copies of one supernet; UsageError for a stage that wraps edges."""

    def copy_of(stage: Stage) -> nn.Module:
        if stage.edges:
            raise UsageError(
                f"method {method.name} wraps the edges of cells (by {', '.join(dict(stage.edges))}), and "
                "this supernet has none; choose a cell space, or another method"
            )
        return copy.deepcopy(supernet)

    return copy_of


def needs_own(method: Method) -> bool:
    """Whether the stages of a method ask for networks of their own depth or with wrapped edges."""
    return any(stage.edges or stage.cells is not None for stage in method.stages)


def published_scale(space: NetworkSpace, method: Method) -> Scale:
    """Of the network that a method searches: in space darts the published one, elsewhere the space's own."""
    p = method.published
    if not isinstance(space, DartsSpace) or not p.cells:
        return space.search_scale
    return replace(space.search_scale, cells=p.cells, channels=p.channels)


def require_fit(space: Space, method: Method, scale: Scale | None = None) -> None:
    """UsageError for a method whose stages need cells, sizes or channels that a space does not have.

    scale: of the network that is searched; None: `published_scale`.
    """
    options_of_stages(space, method.stages, f"method {method.name}")
    if not needs_own(method):
        return
    if not isinstance(space, CellSpace):
        raise UsageError(
            f"method {method.name} works on the edges or the depth of cells, which space {space.name} does "
            "not have; choose a cell space (darts, nasbench201), or another method"
        )
    scale = published_scale(space, method) if scale is None else scale
    for stage in method.stages:
        for wrapper in stage.wrappers(0.0):
            if isinstance(wrapper, Partial):
                wrapper.check(scale.channels)


def search_start(space: NetworkSpace, supernet: nn.Module, method: Method) -> nn.Module | SupernetFactory:
    """Where a search starts: from the shared weights, or fresh where its stages need own networks."""
    require_fit(space, method)
    return stage_supernets(space, published_scale(space, method)) if needs_own(method) else supernet
