"""From the kernels of level `extended` to those that a target runs at level `all`."""

from __future__ import annotations

from collections.abc import Sequence

from profilers.kernels import Kernel

from .blocked import run_in_blocks
from .channels_last import ChannelsLastPass
from .residual import fuse_plain_sums
from .rule import LayoutRule
from .steps import KernelGraph


def apply_rule(kernels: Sequence[Kernel], rule: LayoutRule) -> list[Kernel]:
    """The kernels that a runtime with this rule makes of `kernels`, both in order of execution.

    DamagedFileError where a kernel does not say which tensors it reads and writes.
    """
    net = KernelGraph(kernels)
    if rule.blocked:
        run_in_blocks(net, rule)
    if rule.channels_last:
        ChannelsLastPass(net).run()
    if rule.fuses_plain_sum:
        fuse_plain_sums(net)
    return net.kernels()
