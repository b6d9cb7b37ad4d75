"""The space `nasbench201`: one cell of four nodes, every edge free (Dong and Yang 2020, 2001.00326).

Stem, three stages of equal cells, residual blocks of stride 2 between them; `scale.cells` is per stage. All
architectures at 5 cells and 16 channels have known accuracies: `benchmarks/nasbench201.py` reads the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.core.choice import NONE, Arch
from hwnas.core.network_space import Scale
from hwnas.networks.cell_blocks import CellBlock
from hwnas.networks.cells import IMAGE, CellPlan, Fixed, Plan, Wiring

from .cells import CellSpace

CELL = "cell"
_STAGES = 3


def cell_wiring(nodes: int) -> Wiring:
    """Node 0 is the input, the last node the output; each node reads all before it."""
    return Wiring(1, tuple((s, t) for t in range(1, nodes) for s in range(t)), concat=False)


class NasBench201Space(CellSpace):
    """See the module's docstring; `load_space('nasbench201', …)` makes one."""

    def __init__(
        self, operations: Sequence[str], nodes: int, scale: Scale, search: Scale, file: str | None = None
    ) -> None:
        super().__init__(
            name="nasbench201",
            file=file,
            kinds=(CELL,),
            wiring=cell_wiring(nodes),
            operations=operations,
            keep=0,
            scale=scale,
            search=search,
        )

    def plans(self, scale: Scale) -> list[Plan]:
        """Stem, cells and residual blocks, head with norm and ReLU."""
        c, size = scale.channels, scale.image_size
        plans: list[Plan] = [Fixed(CellBlock("stem", scale.in_channels, c, size), (IMAGE,))]
        for stage in range(_STAGES):
            if stage:
                plans.append(
                    Fixed(CellBlock("residual", c, 2 * c, size, stride=2, kernel=3), (len(plans) - 1,))
                )
                c, size = 2 * c, plans[-1].size_out
            for _ in range(scale.cells):
                plans.append(
                    CellPlan(
                        kind=CELL,
                        wiring=self.wiring,
                        c=c,
                        size=size,
                        stride=1,
                        before=(),
                        reads=(len(plans) - 1,),
                    )
                )
        head = CellBlock("head-norm", c, c, size, n_classes=scale.n_classes)
        return [*plans, Fixed(head, (len(plans) - 1,))]

    def reads_image(self, arch: Arch) -> bool:
        """False where no path joins the input of a cell to its output: 341 of the 15,625 networks."""
        return any(k != self.operations.index(NONE) for k in self.canonical(arch))

    def canonical(self, arch: Arch) -> Arch:
        """Edges that are on no path from the input to the output are `none`."""
        edges, none = self.wiring.edges, self.operations.index(NONE)
        fed, used = {0}, {edges[-1][1]}
        for (s, t), k in zip(edges, arch, strict=True):
            if k != none and s in fed:
                fed.add(t)
        for (s, t), k in reversed(list(zip(edges, arch, strict=True))):
            if k != none and t in used:
                used.add(s)
        return tuple(k if s in fed and t in used else none for (s, t), k in zip(edges, arch, strict=True))
