"""A head that all widths share: made for the widest maps, it reads narrower ones by its first channels."""

from __future__ import annotations

from torch import Tensor, nn


class FirstChannels(nn.Conv2d):
    """A convolution of the widest map, which reads narrower ones by its first channels."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), c up to `in_channels`."""
        weight = self.weight[:, : x.shape[1]]  # an attribute: `functional_call` may replace it
        return self._conv_forward(x, weight, self.bias)


def read_first_channels(head: nn.Module) -> None:
    """Let every convolution of a head that mixes channels read maps of all widths."""
    for name, conv in list(head.named_modules()):
        if isinstance(conv, nn.Conv2d) and conv.groups == 1:
            owner, _, own_name = name.rpartition(".")
            wide = FirstChannels(
                conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                bias=conv.bias is not None, device="meta",
            )  # fmt: skip
            wide.weight, wide.bias = conv.weight, conv.bias
            setattr(head.get_submodule(owner), own_name, wide)
