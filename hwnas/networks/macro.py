"""Networks of the macro space of ENAS: layers in a row, each with skip connections from earlier ones.

Layer i is norm(operation(output of layer i - 1) + sum of the skipped outputs). After a third and two thirds
of the layers a factorised reduction halves all outputs so far that a later layer reads. The deployed network
and the supernet differ in what a layer computes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from hwnas.core.mix import Mix

from .cell_blocks import CellBlock
from .cell_layers import cell_module

SKIP = 1
"""Index of the option by which an earlier output is added."""

Skips = Sequence[Sequence[tuple[int, int]]]
"""Per layer its earlier layers, each with the index of the choice that adds its output."""


@dataclass(frozen=True, slots=True)
class FixedBlocks:
    """The blocks that no choice rules.

    stem, head: the first and the last block.
    norms: per layer.
    reductions: by the layer after which they stand.
    """

    stem: CellBlock
    norms: Sequence[CellBlock]
    reductions: Mapping[int, CellBlock]
    head: CellBlock


class MacroBody(nn.Module):
    """Stem, norms, reductions and head, which no choice rules."""

    def __init__(self, blocks: FixedBlocks, skips: Skips, *, affine: bool) -> None:
        """affine: whether the norms of layers and reductions learn scale and shift."""
        super().__init__()
        self._skips = skips
        self.stem, self.head = cell_module(blocks.stem), cell_module(blocks.head)
        self.norms = nn.ModuleList(cell_module(b, affine=affine) for b in blocks.norms)
        self.reductions = nn.ModuleDict()
        for layer, block in blocks.reductions.items():
            outputs = range(layer + 1)
            self.reductions[str(layer)] = nn.ModuleList(cell_module(block, affine=affine) for _ in outputs)

    def run(self, x: Tensor, mix: Mix) -> Tensor:
        """x: (b, c, h, w) to logits (b, n_classes)."""
        last = self.stem(x)
        outputs: list[Tensor] = []
        for layer, norm in enumerate(self.norms):
            y = self.operation(layer, last, mix)
            for source, choice in self._skips[layer]:
                y = y + _skipped(outputs[source], choice, mix) if _reads(choice, mix) else y
            outputs.append(norm(y))
            if str(layer) in self.reductions:
                reduce = cast(nn.ModuleList, self.reductions[str(layer)])
                outputs = [
                    r(z) if self._is_read(source, layer, mix) else z
                    for source, (r, z) in enumerate(zip(reduce, outputs, strict=True))
                ]
            last = outputs[-1]
        return cast(Tensor, self.head(last))

    def _is_read(self, source: int, after: int, mix: Mix) -> bool:
        """Whether a layer behind `after` reads the output of `source`; the next one reads the last."""
        later = (dict(self._skips[i]).get(source) for i in range(after + 1, len(self._skips)))
        return source == after or any(choice is not None and _reads(choice, mix) for choice in later)

    @abstractmethod
    def operation(self, layer: int, x: Tensor, mix: Mix) -> Tensor:
        """What the layer computes of the output before it."""


def _reads(choice: int, mix: Mix) -> bool:
    return SKIP in mix.active[choice] or SKIP in mix.probe[choice]


def _skipped(x: Tensor, choice: int, mix: Mix) -> Tensor:
    """An earlier output times the probability of its skip; without gradient to it where only probed."""
    return (x if SKIP in mix.active[choice] else x.detach()) * mix.scaled_probs[choice][SKIP]


class MacroNetwork(MacroBody):
    """The network of one architecture: images (b, c, h, w) to logits (b, n_classes)."""

    def __init__(
        self,
        blocks: FixedBlocks,
        skips: Skips,
        operations: Sequence[CellBlock],
        mix: Mix,
        *,
        affine: bool,
    ) -> None:
        """operations: the block of each layer. mix: the architecture, of which the skips are read."""
        super().__init__(blocks, skips, affine=affine)
        self._mix = mix
        for after, reductions in self.reductions.items():
            for source, reduction in enumerate(cast(nn.ModuleList, reductions)):
                read = self._is_read(source, int(after), mix)
                cast(nn.ModuleList, reductions)[source] = reduction if read else nn.Identity()
        self.operations = nn.ModuleList(cell_module(b, affine=affine) for b in operations)

    def operation(self, layer: int, x: Tensor, mix: Mix) -> Tensor:
        """The one operation of the layer."""
        return cast(Tensor, self.operations[layer](x))

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), normalised floats."""
        return self.run(x, self._mix)
