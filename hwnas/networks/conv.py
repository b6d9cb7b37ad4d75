"""One convolution or linear layer: what it costs on paper."""

from __future__ import annotations

from dataclasses import dataclass

NODE_BYTES = 110
"""Graph bytes per convolution in an exported file: node, names, shapes (`test_blocks.py` measures them)."""


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution or linear layer: its shapes and what they cost.

    c_in, c_out: channels.
    kernel: side of the square kernel; 1 for a linear layer.
    size_out: side of the output in pixels.
    groups: of channels.
    batch_norm: whether a norm follows; otherwise there is a bias.
    bare: neither norm nor bias.
    height: of a kernel that is not square, whose width is `kernel`; None where it is.
    """

    c_in: int
    c_out: int
    kernel: int
    size_out: int
    groups: int = 1
    batch_norm: bool = True
    bare: bool = False
    height: int | None = None

    @property
    def weights(self) -> int:
        """Kernel weights, bias not included."""
        return self.c_in // self.groups * self.c_out * self.kernel * (self.height or self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.weights * self.size_out**2

    @property
    def params(self) -> int:
        """Trainable parameters: weights and the scale and shift of the BN, or the bias."""
        return self.weights + (0 if self.bare else self.c_out * (2 if self.batch_norm else 1))

    @property
    def file_bytes(self) -> int:
        """fp32 bytes in the exported file, where BN is folded into weight and bias."""
        return 4 * (self.weights + (0 if self.bare else self.c_out)) + NODE_BYTES
