"""A network of several heads as its file has it: an output for each, in place of all numbers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .signature import Signature


class SplitHeads(nn.Module):
    """module: gives (b, n). widths: numbers of each head by its name, in order; their sum is n."""

    def __init__(
        self, module: nn.Module, widths: Mapping[str, int], input_name: str, sample_shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.module, self.widths = module, dict(widths)
        self._input, self._shape = input_name, tuple(sample_shape)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """A tensor (b, k) for each head."""
        return torch.split(self.module(x), list(self.widths.values()), dim=1)

    def signature(self, batch: int) -> Signature:
        """One input, an output for each head."""
        return Signature({self._input: self.example(batch)}, tuple(self.widths))

    def example(self, batch: int) -> Tensor:
        """Zeros."""
        return torch.zeros(batch, *self._shape)
