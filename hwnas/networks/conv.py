"""One convolution or linear layer: what it costs on paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hwnas.core.samples import area

NODE_BYTES = 110
"""Graph bytes per convolution in an exported file: node, names, shapes (`test_blocks.py` measures them)."""


def sides(length: int, dims: int, rest: int = 1) -> tuple[int, int]:
    """(height, width) of what is `length` long in each of its dimensions; `rest` is what else it is.

    Images have two dimensions; signals have one, and lie in one row.

    >>> sides(5, 2), sides(5, 1), sides(2, 1, rest=0)
    ((5, 5), (1, 5), (0, 2))
    """
    return (length if dims == 2 else rest, length)


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution or linear layer: its shapes and what they cost.

    c_in, c_out: channels.
    kernel: side of the kernel; 1 for a linear layer.
    size_out: side of the output.
    groups: of channels.
    batch_norm: whether a norm follows; otherwise there is a bias.
    bare: neither norm nor bias.
    height: of a kernel that is not square, whose width is `kernel`; None where it is.
    dims: of kernel and output: 2 for images, 1 for signals.
    """

    c_in: int
    c_out: int
    kernel: int
    size_out: int
    groups: int = 1
    batch_norm: bool = True
    bare: bool = False
    height: int | None = None
    dims: int = 2

    @property
    def weights(self) -> int:
        """Kernel weights, bias not included."""
        kernel = area(self.kernel, self.dims) if self.height is None else self.kernel * self.height
        return self.c_in // self.groups * self.c_out * kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return self.weights * area(self.size_out, self.dims)

    @property
    def params(self) -> int:
        """Trainable parameters: weights and the scale and shift of the BN, or the bias."""
        return self.weights + (0 if self.bare else self.c_out * (2 if self.batch_norm else 1))

    @property
    def file_bytes(self) -> int:
        """fp32 bytes in the exported file, where BN is folded into weight and bias."""
        return 4 * (self.weights + (0 if self.bare else self.c_out)) + NODE_BYTES


class SumOfConvs(ABC):
    """What a block costs whose costs are those of its convolutions and linear layers."""

    __slots__ = ()

    @property
    @abstractmethod
    def convs(self) -> tuple[Conv, ...]:
        """All of them."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates, one sample."""
        return sum(c.macs for c in self.convs)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(c.params for c in self.convs)

    @property
    def file_bytes(self) -> int:
        """What the block adds to an exported fp32 file."""
        return sum(c.file_bytes for c in self.convs)
