"""Networks of the macro space of ENAS: layers in a row, each with skip connections from earlier ones.

Layer i is norm(operation(output of layer i - 1) + sum of the skipped outputs). After a third and two thirds
of the layers a factorised reduction halves all outputs so far. The deployed network and the supernet differ
in what a layer computes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix

from .mobile import Supernet, use_batch_statistics

if TYPE_CHECKING:
    from hwnas.core.space import Scale
    from hwnas.spaces.enas_macro import EnasMacroSpace

SKIP = 1
"""Index of the option by which an earlier output is added."""


class MacroBody(nn.Module):
    """Stem, norms, reductions and head, which no choice rules."""

    def __init__(self, space: EnasMacroSpace, scale: Scale) -> None:
        super().__init__()
        self.space, self.scale = space, scale
        blocks = space.fixed_blocks(scale)
        self.stem, self.head = blocks.stem.module(), blocks.head.module()
        self.norms = nn.ModuleList(b.module(affine=scale.affine) for b in blocks.norms)
        self.reductions = nn.ModuleDict()
        for layer, block in blocks.reductions.items():
            made = [block.module(affine=scale.affine) for _ in range(layer + 1)]
            self.reductions[str(layer)] = nn.ModuleList(made)

    def run(self, x: Tensor, mix: Mix) -> Tensor:
        """X: (b, c, h, w) to logits (b, n_classes)."""
        last = self.stem(x)
        outputs: list[Tensor] = []
        for layer, norm in enumerate(self.norms):
            y = self.operation(layer, last, mix)
            for source, choice in self.space.skips(layer):
                y = y + sum_skip(outputs[source], choice, mix) if _reads(choice, mix) else y
            outputs.append(norm(y))
            if str(layer) in self.reductions:
                reduce = cast(nn.ModuleList, self.reductions[str(layer)])
                outputs = [r(z) for r, z in zip(reduce, outputs, strict=True)]
            last = outputs[-1]
        return cast(Tensor, self.head(last))

    @abstractmethod
    def operation(self, layer: int, x: Tensor, mix: Mix) -> Tensor:
        """What the layer computes of the output before it."""


def _reads(choice: int, mix: Mix) -> bool:
    return SKIP in mix.active[choice] or SKIP in mix.probe[choice]


def sum_skip(x: Tensor, choice: int, mix: Mix) -> Tensor:
    """An earlier output times the weight of its skip connection; without gradient to it where only probed."""
    return (x if SKIP in mix.active[choice] else x.detach()) * mix.scaled_probs[choice][SKIP]


class MacroNetwork(MacroBody):
    """The network of one architecture: images (b, c, h, w) to logits (b, n_classes)."""

    def __init__(self, space: EnasMacroSpace, arch: Arch, scale: Scale) -> None:
        super().__init__(space, scale)
        self._mix = Mix.one_hot(space.choices, arch)
        self.operations = nn.ModuleList(
            space.operation_block(layer, arch[space.operation(layer)], scale).module(affine=scale.affine)
            for layer in range(space.n_layers)
        )

    def operation(self, layer: int, x: Tensor, mix: Mix) -> Tensor:
        """The one operation of the layer."""
        return cast(Tensor, self.operations[layer](x))

    def forward(self, x: Tensor) -> Tensor:
        """X: (b, c, h, w), normalised floats."""
        return self.run(x, self._mix)


class MacroSupernet(MacroBody, Supernet):
    """Shared weights of all architectures; every operation of a layer has its own."""

    def __init__(self, space: EnasMacroSpace, scale: Scale) -> None:
        """Fresh weights from torch's global generator."""
        super().__init__(space, scale)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                space.operation_block(layer, k, scale).module(affine=scale.affine)
                for k in range(len(space.operations))
            )
            for layer in range(space.n_layers)
        )
        use_batch_statistics(self)

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """X: (b, c, h, w), normalised floats; returns logits (b, n_classes)."""
        return self.run(x.contiguous(memory_format=torch.channels_last), mix)

    def operation(self, layer: int, x: Tensor, mix: Mix) -> Tensor:
        """The weighted sum of the active operations; probed ones only give their weight a gradient."""
        choice, ops = self.space.operation(layer), cast(Sequence[nn.Module], self.layers[layer])
        weights = mix.scaled_probs[choice].to(x.dtype)
        terms = [ops[k](x) * weights[k] for k in mix.active[choice]]
        for k in mix.probe[choice]:
            with torch.no_grad():
                probed = ops[k](x)
            terms.append(probed * weights[k])
        return cast(Tensor, sum(terms[1:], terms[0]))

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """The network of `arch` with a copy of the shared weights."""
        with torch.random.fork_rng(devices=[]):
            net = MacroNetwork(self.space, arch, self.scale)
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (net.stem, self.stem),
            (net.norms, self.norms),
            (net.reductions, self.reductions),
            (net.head, self.head),
        ]
        for layer, op in enumerate(net.operations):
            ops = cast(nn.ModuleList, self.layers[layer])
            pairs.append((op, ops[arch[self.space.operation(layer)]]))
        for to, shared in pairs:
            for mine, theirs in zip(to.parameters(), shared.parameters(), strict=True):
                mine.copy_(theirs)
        return net.to(next(self.parameters()).device).to(memory_format=torch.channels_last)
