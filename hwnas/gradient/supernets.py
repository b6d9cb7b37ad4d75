"""The supernets of a search: one per stage that begins anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from torch import nn

from targets.errors import UsageError

from ..networks.wrappers import Wrapper
from ..space import NetworkSpace, Space
from ..spaces.cells import CellSpace
from .method import Method
from .restrict import within
from .stage import Stage

SupernetFactory = Callable[[Stage], nn.Module]
"""The supernet that a stage searches: its depth, the wrappers of its edges."""


class MakesSupernets(Protocol):
    """A network space whose supernet comes at any scale, a dataclass with `cells`, and with any wrappers."""

    @property
    def search_scale(self) -> Any:
        """Of the network that is searched."""
        ...

    def supernet(self, scale: Any = None, *wrappers: Wrapper) -> nn.Module:
        """Fresh weights from torch's global generator."""
        ...


def stage_supernets(space: MakesSupernets, scale: Any = None) -> SupernetFactory:
    """Fresh supernets at `scale` (None: the space's search scale), as deep and as wrapped as a stage asks."""
    scale = space.search_scale if scale is None else scale

    def make(stage: Stage) -> nn.Module:
        at = scale if stage.cells is None else replace(scale, cells=stage.cells)
        return space.supernet(at, *stage.wrappers(0.0))

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


def require_fit(space: Space, method: Method) -> None:
    """UsageError for a method whose stages need cells, or sizes, in a space that has none."""
    for stage in method.stages:
        within(space, stage.elastic, f"method {method.name}, stage {stage.name}")
    if needs_own(method) and not isinstance(space, CellSpace):
        raise UsageError(
            f"method {method.name} works on the edges or the depth of cells, which space {space.name} does "
            "not have; choose a cell space (darts, nasbench201), or another method"
        )


def search_start(space: NetworkSpace, supernet: nn.Module, method: Method) -> nn.Module | SupernetFactory:
    """Where a search starts: from the shared weights, or fresh where its stages need own networks."""
    require_fit(space, method)
    return stage_supernets(space) if needs_own(method) else supernet
