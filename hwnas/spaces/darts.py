"""The space `darts`: normal and reduction cells, two edges per node (Liu et al. 2019, 1806.09055).

Images up to 64 px get the stem of CIFAR, larger ones the three convolutions of stride 2 for ImageNet
(section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.core.choice import Arch
from hwnas.core.network_space import Scale
from hwnas.networks.cell_blocks import CellBlock
from hwnas.networks.cells import IMAGE, CellNetwork, CellPlan, Fixed, Plan, Wiring

from .cells import CellSpace

NORMAL, REDUCE = "normal", "reduce"
_STEM_CHANNELS = 3
"""Channels of the CIFAR stem, in channels of a cell."""
_LARGEST_SMALL_IMAGE = 64


def cell_wiring(nodes: int) -> Wiring:
    """Two inputs, then `nodes` nodes that each read all states before them, side by side."""
    edges = tuple((s, t) for t in range(2, 2 + nodes) for s in range(t))
    return Wiring(2, edges, concat=True)


def is_large(image_size: int) -> bool:
    """Whether an image gets the ImageNet stem."""
    return image_size > _LARGEST_SMALL_IMAGE


def stem_plans(scale: Scale) -> list[Plan]:
    """What stands before the first cell."""
    c, size = scale.channels, scale.image_size
    if not is_large(size):
        return [Fixed(CellBlock("stem", scale.in_channels, _STEM_CHANNELS * c, size), (IMAGE,))]
    blocks = [CellBlock("stem", scale.in_channels, c // 2, size, stride=2)]
    for c_in in (c // 2, c):
        blocks.append(CellBlock("stem-relu", c_in, c, blocks[-1].size_out, stride=2, kernel=3))
    return [Fixed(b, (i - 1,)) for i, b in enumerate(blocks)]


class DartsSpace(CellSpace):
    """See the module's docstring; `load_space('darts', …)` makes one."""

    pool_norm = True

    def __init__(
        self, operations: Sequence[str], nodes: int, scale: Scale, search: Scale, file: str | None = None
    ) -> None:
        super().__init__(
            name="darts",
            file=file,
            kinds=(NORMAL, REDUCE),
            wiring=cell_wiring(nodes),
            operations=operations,
            keep=2,
            scale=scale,
            search=search,
        )

    def plans(self, scale: Scale) -> list[Plan]:
        """Stem, cells (reduction at a third and two thirds), head."""
        plans, c = stem_plans(scale), scale.channels
        last = len(plans) - 1
        reads, reduced = ((last - 1, last), True) if is_large(scale.image_size) else ((last, last), False)
        for layer in range(scale.cells):
            reduction = layer in (scale.cells // 3, 2 * scale.cells // 3)
            c *= 2 if reduction else 1
            older, newer = (plans[r] for r in reads)
            kind, stride = ("reduce", 2) if reduced else ("nor", 1)
            before = (
                CellBlock(kind, older.c_out, c, older.size_out, stride=stride),
                CellBlock("nor", newer.c_out, c, newer.size_out),
            )
            plans.append(
                CellPlan(
                    kind=REDUCE if reduction else NORMAL,
                    wiring=self.wiring,
                    c=c,
                    size=newer.size_out,
                    stride=2 if reduction else 1,
                    before=before,
                    reads=reads,
                )
            )
            reads, reduced = (reads[1], len(plans) - 1), reduction
        width, size = plans[-1].c_out, plans[-1].size_out
        head = CellBlock("head", width, width, size, n_classes=scale.n_classes)
        return [*plans, Fixed(head, (len(plans) - 1,))]

    def build(self, arch: Arch, scale: Scale | None = None, *, auxiliary: bool = False) -> CellNetwork:
        """The network of `arch`. auxiliary: whether a second classifier follows the second reduction cell."""
        net = super().build(arch, scale)
        scale = self.scale if scale is None else scale
        if auxiliary:
            stems = sum(isinstance(p, Fixed) for p in net.plans) - 1
            net.add_auxiliary(stems + 2 * scale.cells // 3, scale.n_classes)
        return net
