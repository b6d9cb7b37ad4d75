"""What any block of a network can be asked. `networks.modules.module_of` gives its torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Block(Protocol):
    """A distinct block of any space: what tables file it under, and what it costs on paper."""

    @property
    def key(self) -> str:
        """Operation and shapes: the row of a latency table, shared by all spaces."""
        ...

    @property
    def group(self) -> str:
        """Blocks that behave alike on a device."""
        ...

    @property
    def features(self) -> Mapping[str, float]:
        """Numbers for a latency predictor; the same names for all blocks of a space."""
        ...

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, c_in, size, size)."""
        ...

    @property
    def more_inputs(self) -> tuple[tuple[int, int, int, int], ...]:
        """Shapes of further inputs; heads read a second map."""
        ...

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers, one image."""
        ...

    @property
    def params(self) -> int:
        """Trainable parameters."""
        ...

    @property
    def file_bytes(self) -> int:
        """What the block adds to an exported fp32 file."""
        ...

    @property
    def peak_bytes(self) -> int:
        """Largest sum of fp32 activations that live at once, one image."""
        ...
