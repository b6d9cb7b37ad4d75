"""The space `enas-macro`: an operation per layer, and earlier outputs to add (Pham et al. 2018, 1802.03268).

Each earlier layer is an on/off choice. Where the two forms of the authors' code differ, this is the form of
their search: the sum of the outputs, then a norm, at constant width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.core.position import Position
from hwnas.networks.cell_blocks import CellBlock
from hwnas.networks.macro import FixedBlocks, MacroNetwork
from targets.errors import UsageError, did_you_mean

from .cells import describe_block

_OPERATIONS = {
    "conv_3x3": ("macro-conv", 3),
    "conv_5x5": ("macro-conv", 5),
    "sep_conv_3x3": ("macro-sep", 3),
    "sep_conv_5x5": ("macro-sep", 5),
    "avg_pool_3x3": ("macro-avg", 3),
    "max_pool_3x3": ("macro-max", 3),
}
_SKIP = (NONE, "skip_connect")
_SKIPS = 1
"""The option that adds an output."""


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
        self.skips: list[list[tuple[int, int]]] = []
        # Per layer its earlier layers, each with the index of the choice that adds its output.
        self._ops: list[int] = []
        for layer in range(n_layers):
            self._ops.append(len(choices))
            choices.append(Choice(f"layer{layer}.op", self.operations))
            self.skips.append([(s, len(choices) + s) for s in range(layer)])
            choices += [Choice(f"layer{layer}.{s}", _SKIP) for s in range(layer)]
        super().__init__("enas-macro", choices)
        self._blocks: dict[str, CellBlock] = {}
        self.positions = tuple(self._positions())

    def operation(self, layer: int) -> int:
        """The index of the choice of a layer's operation."""
        return self._ops[layer]

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
            stem=CellBlock("stem", scale.in_channels, c, scale.image_size),
            norms=[CellBlock("norm", c, c, self._size(i, scale)) for i in range(n)],
            reductions={
                i: CellBlock("reduce", c, c, self._size(i, scale), stride=2) for i in self._reduced_after()
            },
            head=CellBlock("head", c, c, self._size(n, scale), n_classes=scale.n_classes),
        )

    def operation_block(self, layer: int, option: int, scale: Scale) -> CellBlock:
        """The block of an operation in a layer."""
        kind, kernel = _OPERATIONS[self.operations[option]]
        c = scale.channels
        return CellBlock(kind, c, c, self._size(layer, scale), kernel=kernel)

    def _add(self, block: CellBlock) -> str:
        self._blocks[block.key] = block
        return block.key

    def _positions(self) -> list[Position]:
        """Counts every earlier output as held, even where it is not read again; what is reduced is read."""
        fixed = self.fixed_blocks(self.scale)
        positions = [_always(self._add(fixed.stem))]
        for layer in range(self.n_layers):
            plane = 4 * self.scale.channels * self._size(layer, self.scale) ** 2
            blocks = [self.operation_block(layer, k, self.scale) for k in range(len(self.operations))]
            keys = np.array([self._add(b) for b in blocks], dtype=object)
            positions.append(Position((self.operation(layer),), keys, layer * plane))
            positions.append(_always(self._add(fixed.norms[layer]), (layer + 1) * plane))
            if layer in fixed.reductions:
                key = np.array(self._add(fixed.reductions[layer]), dtype=object)
                for source in range(layer + 1):
                    readers = self._readers(source, layer)
                    positions.append(Position((), key, (layer + 1) * plane, readers))
        return [*positions, _always(self._add(fixed.head))]

    def _readers(self, source: int, after: int) -> tuple[tuple[int, int], ...]:
        """The skips that read what is reduced of a layer after another; none where the next one does."""
        later = range(after + 1, self.n_layers)
        return () if source == after else tuple((self.skips[i][source][1], _SKIPS) for i in later)

    @property
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """`12x36`: layers and channels."""
        return f"{self.n_layers}x{self.scale.channels}", {
            "cells": self.n_layers,
            "channels": self.scale.channels,
        }

    def build(self, arch: Arch, scale: Scale | None = None) -> MacroNetwork:
        """The network of `arch`, as deployed or at another scale."""
        scale = self.scale if scale is None else scale
        layers = range(self.n_layers)
        return MacroNetwork(
            blocks=self.fixed_blocks(scale),
            skips=self.skips,
            operations=[self.operation_block(i, arch[self.operation(i)], scale) for i in layers],
            mix=Mix.one_hot(self.choices, arch),
            affine=scale.affine,
        )

    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Stem; per layer operation, norm and what is reduced after it; head."""
        prefixes = ["/stem/"]
        for layer in range(self.n_layers):
            prefixes += [f"/operations.{layer}/", f"/norms.{layer}/"]
            if layer in self._reduced_after():
                for source in range(layer + 1):
                    readers = self._readers(source, layer)
                    if not readers or any(arch[choice] == option for choice, option in readers):
                        prefixes.append(f"/reductions.{layer}.{source}/")
        return (*prefixes, "/head/")

    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block, stem first, head last."""
        return [describe_block(self._blocks[key], i) for i, key in enumerate(self.block_keys(arch))]


def _always(key: str, held_bytes: int = 0) -> Position:
    return Position((), np.array(key, dtype=object), held_bytes)
