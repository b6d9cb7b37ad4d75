"""A cell search in miniature: two kinds of cells, nodes that keep two of their edges, wrappable edges.

Small enough to enumerate a node by hand; every layer is smooth, so that derivatives can be checked.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.mix import Mix
from hwnas.core.number import may_count
from hwnas.core.space import Space
from hwnas.networks.cells import dropout
from hwnas.networks.wrappers import Partial, Wrapper, Wrapping
from tests.support.toy import ToyCosts

if TYPE_CHECKING:
    from hwnas.gradient.stage import Stage

OPERATIONS = ("none", "skip_connect", "sep_conv", "weak")
EDGES = ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) of a cell of two inputs and two nodes."""
KINDS = ("normal", "reduce")
KEEP = 2
NODE = tuple(Choice(f"normal.{s}-3", OPERATIONS, "normal.3", KEEP) for s in range(3))
"""The three edges that enter one node, of which two are kept."""


class ToyCellSpace(Space):
    """Ten choices: five edges in each of two kinds of cells; each node keeps two edges."""

    def __init__(self) -> None:
        super().__init__(
            "toy-cell",
            [Choice(f"{k}.{s}-{t}", OPERATIONS, f"{k}.{t}", KEEP) for k in KINDS for s, t in EDGES],
        )

    def smaller_by(self, choice: int, option: int) -> Mapping[str, int]:
        """`weak` is a smaller `sep_conv`: in kernel, in reduction cells in expand; skips are less depth."""
        kind, edge = self.choices[choice].name.split(".")
        late = edge.endswith("3")
        if OPERATIONS[option] == "weak":
            return {"kernel": 1} if kind == "normal" else {"expand": 1, "width": 1 + late}
        return {"depth": 2 - late} if OPERATIONS[option] == "skip_connect" else {}

    def _nodes(self) -> list[list[int]]:
        names = dict.fromkeys(c.node for c in self.choices)
        return [[i for i, c in enumerate(self.choices) if c.node == name] for name in names]

    def valid(self, arch: Arch) -> bool:
        """Whether each node has exactly two edges."""
        return super().valid(arch) and all(
            sum(OPERATIONS[arch[e]] != NONE for e in edges) == KEEP for edges in self._nodes()
        )

    def sample(self, rng: np.random.Generator) -> Arch:
        """Edges and operations uniform."""
        arch = [0] * len(self.choices)
        for edges in self._nodes():
            for e in rng.choice(edges, KEEP, replace=False):
                arch[int(e)] = int(rng.integers(1, len(OPERATIONS)))
        return tuple(arch)


def cell_costs(space: Space) -> ToyCosts:
    """At every edge: none 0.1 ms, skip 0.2, strong 4, weak 2; sizes 0.1, 0.1, 2 and 3 MB."""
    n = len(space.choices)
    return ToyCosts(space, {"latency_ms": [[0.1, 0.2, 4.0, 2.0]] * n, "size_mb": [[0.1, 0.1, 2.0, 3.0]] * n})


class Constant(nn.Module):
    """Normalises each feature over the batch; scale 1 and shift 0 are constants (features,)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(features))
        self.register_buffer("bias", torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """X: (b, features)."""
        spread = (x.var(0, unbiased=False) + 1e-2).sqrt()
        return (x - x.mean(0)) / spread * self.weight + self.bias


class ToyEdge(nn.Module):
    """The operations of one edge on the first features / k features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.sep_conv = nn.Linear(features, features, bias=False)
        self.weak = nn.Linear(features, features, bias=False)
        self.strong_norm, self.weak_norm = Constant(features), Constant(features)

    def forward(self, x: Tensor, option: str, wrapping: Wrapping) -> Tensor:
        """X: (b, features)."""
        if option == NONE:
            return torch.zeros_like(x)
        if option == "skip_connect":
            drops = self.training and may_count(wrapping.skip_dropout)
            return dropout(x, wrapping.skip_dropout) if drops else x
        if option == "weak":
            weak: Tensor = self.weak_norm(self.weak(torch.tanh(x)))
            return 0.3 * weak
        strong: Tensor = self.strong_norm(self.sep_conv(torch.tanh(x)))
        return strong


class ToyCell(nn.Module):
    """One cell: the sum of the weighted edges at each node; its output is the mean of the nodes."""

    def __init__(self, features: int, wrapping: Wrapping) -> None:
        super().__init__()
        Partial(wrapping.partial).check(features)
        self.n = features // wrapping.partial
        self.edges = nn.ModuleList(ToyEdge(self.n) for _ in EDGES)

    def forward(
        self, before: Tensor, last: Tensor, mix: Mix, first: int, wrapping: Wrapping, ran: list[object]
    ) -> Tensor:
        """Before, last: (b, features). first: index of the cell's first choice."""
        states = [before, last]
        for target in (2, 3):
            terms = []
            for i, (source, to) in enumerate(EDGES):
                if to == target:
                    terms.append(self._edge(i, states[source], mix, first + i, wrapping, ran))
            states.append(torch.stack(terms).sum(0))
        return (states[2] + states[3]) / 2

    def _edge(
        self, i: int, x: Tensor, mix: Mix, choice: int, wrapping: Wrapping, ran: list[object]
    ) -> Tensor:
        x, rest = x[:, : self.n], x[:, self.n :]
        terms = []
        for options, trained in ((mix.active[choice], True), (mix.probe[choice], False)):
            for k in options:
                ran.append((choice, k, trained))
                with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
                    y = self.edges[i](x, OPERATIONS[k], wrapping)
                terms.append(mix.probs[choice][k] * y)
        out = torch.stack(terms).sum(0)
        if wrapping.aux_skip is not None:
            out = out + wrapping.aux_skip * x
        out = torch.cat([out, rest], dim=1)
        return out if mix.edge_weights is None else out * mix.edge_weights[choice]


class ToyCellSupernet(nn.Module):
    """Cells in a row, the last one of kind `reduce`; then a linear classifier. ran: by the last pass."""

    def __init__(
        self, *wrappers: Wrapper, cells: int = 2, features: int = 12, n_classes: int = 4, seed: int | None = 0
    ) -> None:
        """Seed: of the weights; None: torch's global generator."""
        super().__init__()
        self.wrapping, self.features = Wrapping().having(wrappers), features
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            self.stem = nn.Linear(8, features)
            self.cells = nn.ModuleList(ToyCell(features, self.wrapping) for _ in range(cells))
            self.classify = nn.Linear(features, n_classes)
        self.ran: list[object] = []
        self.sorted = 0

    def rewrap(self, *wrappers: Wrapper) -> None:
        """Change the values of the wrappers."""
        wrapping = self.wrapping.having(wrappers)
        if wrapping.partial != self.wrapping.partial:
            raise ValueError("partial channels need a supernet of their own")
        self.wrapping = wrapping

    def sort_channels(self) -> None:
        """Counted only: the toy has no channels that an option could do without."""
        self.sorted += 1

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """X: (b, 8); returns logits (b, n_classes)."""
        self.ran = []
        before = last = self.stem(x)
        for i, cell in enumerate(self.cells):
            first = len(EDGES) * (i == len(self.cells) - 1)
            before, last = last, cell(before, last, mix, first, self.wrapping, self.ran)
        logits: Tensor = self.classify(last)
        return logits


def toy_cells(stage: Stage) -> ToyCellSupernet:
    """The supernet of a stage: its cells (2, 3, 4 for P-DARTS's 5, 11, 17), its wrappers; fresh weights."""
    cells = 2 if stage.cells is None else 1 + stage.cells // 5
    return ToyCellSupernet(*stage.wrappers(0.0), cells=cells, seed=None)


def node_archs() -> list[tuple[int, ...]]:
    """By counting: exactly two of three edges are not none."""
    return [a for a in itertools.product(range(4), repeat=3) if sum(i != 0 for i in a) == 2]
