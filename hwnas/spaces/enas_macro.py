"""The space `enas-macro`: an operation per layer, and earlier outputs to add (Pham et al. 2018, 1802.03268).

A subset of the earlier layers is one on/off choice per member. Where the two forms of the authors' code
differ, this is the form of their search: the sum of the outputs, then a norm, at constant width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.space import NetworkSpace, Position, Scale
from hwnas.networks.cell_blocks import CellBlock
from targets.errors import UsageError, did_you_mean

from .cells import describe_block

if TYPE_CHECKING:
    from hwnas.networks.wrappers import Wrapper
    from hwnas.supernets.macro import MacroNetwork, MacroSupernet

_OPERATIONS = {
    "conv_3x3": ("macro-conv", 3),
    "conv_5x5": ("macro-conv", 5),
    "sep_conv_3x3": ("macro-sep", 3),
    "sep_conv_5x5": ("macro-sep", 5),
    "avg_pool_3x3": ("macro-avg", 3),
    "max_pool_3x3": ("macro-max", 3),
}
_SKIP = (NONE, "skip_connect")


@dataclass(frozen=True, slots=True)
class FixedBlocks:
    """The blocks that no choice rules. reductions: by the layer after which they stand."""

    stem: CellBlock
    norms: tuple[CellBlock, ...]
    reductions: dict[int, CellBlock]
    head: CellBlock


class EnasMacroSpace(NetworkSpace):
    """See the module's docstring; `load_space('enas-macro', …)` makes one."""

    def __init__(
        self, operations: Sequence[str], n_layers: int, scale: Scale, search: Scale, file: str | None = None
    ) -> None:
        for name in operations:
            if name not in _OPERATIONS:
                raise UsageError(f"unknown operation {name!r} of a layer; {did_you_mean(name, _OPERATIONS)}")
        self.operations, self.n_layers, self._file = tuple(operations), n_layers, file
        self.scale, self._search = scale, search
        choices: list[Choice] = []
        self._skips: list[list[tuple[int, int]]] = []
        self._ops: list[int] = []
        for layer in range(n_layers):
            self._ops.append(len(choices))
            choices.append(Choice(f"layer{layer}.op", self.operations))
            self._skips.append([(s, len(choices) + s) for s in range(layer)])
            choices += [Choice(f"layer{layer}.{s}", _SKIP) for s in range(layer)]
        super().__init__("enas-macro", choices)
        self._specs: dict[str, CellBlock] = {}
        self.positions = tuple(self._positions())

    def operation(self, layer: int) -> int:
        """The index of the choice of a layer's operation."""
        return self._ops[layer]

    def skips(self, layer: int) -> list[tuple[int, int]]:
        """Per earlier layer, the index of the choice that adds its output."""
        return self._skips[layer]

    @property
    def search_scale(self) -> Scale:
        """Of the network that is searched."""
        return self._search

    def _reduced_after(self) -> tuple[int, int]:
        third = self.n_layers // 3
        return (third - 1, 2 * third - 1)

    def _size(self, layer: int, scale: Scale) -> int:
        size = scale.image_size
        for after in self._reduced_after():
            size = -(-size // 2) if layer > after else size
        return size

    def fixed_blocks(self, scale: Scale) -> FixedBlocks:
        """Stem, norms, reductions, head."""
        c, n = scale.channels, self.n_layers
        return FixedBlocks(
            CellBlock("stem", scale.in_channels, c, scale.image_size),
            tuple(CellBlock("norm", c, c, self._size(i, scale)) for i in range(n)),
            {i: CellBlock("reduce", c, c, self._size(i, scale), 2) for i in self._reduced_after()},
            CellBlock("head", c, c, self._size(n, scale), n_classes=scale.n_classes),
        )

    def operation_block(self, layer: int, option: int, scale: Scale) -> CellBlock:
        """The block of an operation in a layer."""
        kind, kernel = _OPERATIONS[self.operations[option]]
        c = scale.channels
        return CellBlock(kind, c, c, self._size(layer, scale), 1, kernel)

    def _add(self, block: CellBlock) -> str:
        self._specs[block.key] = block
        return block.key

    def _positions(self) -> list[Position]:
        """Every earlier output is held, and every output reduced, whether or not it is read again."""
        fixed = self.fixed_blocks(self.scale)
        out = [_always(self._add(fixed.stem))]
        for layer in range(self.n_layers):
            plane = 4 * self.scale.channels * self._size(layer, self.scale) ** 2
            blocks = [self.operation_block(layer, k, self.scale) for k in range(len(self.operations))]
            keys = np.array([self._add(b) for b in blocks], dtype=object)
            out.append(Position((self.operation(layer),), keys, layer * plane))
            out.append(_always(self._add(fixed.norms[layer]), (layer + 1) * plane))
            if layer in fixed.reductions:
                out += [_always(self._add(fixed.reductions[layer]), (layer + 1) * plane)] * (layer + 1)
        return [*out, _always(self._add(fixed.head))]

    @property
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """`12x36`: layers and channels."""
        return f"{self.n_layers}x{self.scale.channels}", {
            "cells": self.n_layers,
            "channels": self.scale.channels,
        }

    def build(self, arch: Arch, scale: Scale | None = None) -> MacroNetwork:
        """The network of `arch`, as deployed or at another scale."""
        from hwnas.supernets.macro import MacroNetwork

        return MacroNetwork(self, arch, self.scale if scale is None else scale)

    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Stem; per layer operation, norm and what is reduced after it; head."""
        out = ["/stem/"]
        for layer in range(self.n_layers):
            out += [f"/operations.{layer}/", f"/norms.{layer}/"]
            if layer in self._reduced_after():
                out += [f"/reductions.{layer}.{source}/" for source in range(layer + 1)]
        return (*out, "/head/")

    def supernet(self, scale: Scale | None = None, *wrappers: Wrapper) -> MacroSupernet:
        """Fresh shared weights for all architectures; its layers are no edges, so nothing wraps them."""
        from hwnas.supernets.macro import MacroSupernet

        if wrappers:
            raise UsageError(f"space {self.name} has no edges that {type(wrappers[0]).__name__} could wrap")
        scale = self.search_scale if scale is None else scale
        if scale.cells != self.n_layers:
            raise UsageError(
                f"space {self.name} has {self.n_layers} layers when it is searched, not {scale.cells}"
            )
        return MacroSupernet(self, scale)

    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block, stem first, head last."""
        return [describe_block(self._specs[key], i) for i, key in enumerate(self.parts(arch))]


def _always(key: str, held_bytes: int = 0) -> Position:
    return Position((), np.array(key, dtype=object), held_bytes)
