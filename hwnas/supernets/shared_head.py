"""A head that all widths share: made for the widest maps, it reads narrower ones by its first channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class FirstChannels(nn.Module):
    """A convolution of the widest map, with the very weights of `conv`; narrower maps use a part of them."""

    def __init__(self, conv: nn.Conv2d) -> None:
        """Conv: without groups."""
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride, conv.padding

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), c up to that of the widest map."""
        weight = self.weight[:, : x.shape[1]]
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def read_first_channels(head: nn.Module) -> None:
    """Let every convolution of a head that mixes channels read maps of all widths."""
    for name, conv in list(head.named_modules()):
        if isinstance(conv, nn.Conv2d) and conv.groups == 1:
            owner, _, own_name = name.rpartition(".")
            setattr(head.get_submodule(owner), own_name, FirstChannels(conv))
