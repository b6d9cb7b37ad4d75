"""The architecture of an epoch as drawings: a cell by its graph, any other network by its blocks."""

from __future__ import annotations

from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.core.space import Space
from hwnas.genotype.edges import edges_of
from hwnas.report.cells import cell_dot, cell_svg
from hwnas.report.drawing import dot_text
from hwnas.report.svg import svg_drawing
from hwnas.spaces.cells import CellSpace


def drawings(space: Space, arch: Arch, title: str) -> dict[str, str]:
    """Per ending, `dot` and `svg`, the text of the file; none for a space that is no network."""
    if isinstance(space, CellSpace):
        cells, n_inputs = edges_of(space, arch), space.wiring.n_inputs
        return {"dot": cell_dot(cells, n_inputs, title), "svg": cell_svg(cells, n_inputs, title)}
    if isinstance(space, NetworkSpace):
        rows = space.describe(arch)
        return {"dot": dot_text(rows, title), "svg": svg_drawing(rows, title)}
    return {}


def best_form(space: Space) -> str:
    """The form of a genotype that people know a space's architectures by."""
    if not isinstance(space, CellSpace):
        return "key"
    return "darts" if space.kinds == ("normal", "reduce") else "nasbench201"
