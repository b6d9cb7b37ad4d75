"""From the kernels of level `extended` to those that a target runs at level `all`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocked import run_in_blocks
from .channels_last import ChannelsLastPass
from .residual import fuse_plain_sums
from .rule import LayoutRule
from .steps import Steps


def apply_rule(kernels: Sequence[Mapping[str, Any]], rule: LayoutRule) -> list[dict[str, Any]]:
    """The kernels, in the form of `profilers.kernels.describe` and in order of execution, under `rule`.

    DamagedFileError where a kernel does not say which tensors it reads and writes.
    """
    net = Steps(kernels)
    if rule.blocked:
        run_in_blocks(net, rule)
    if rule.channels_last:
        ChannelsLastPass(net).run()
    if rule.fuses_plain_sum:
        fuse_plain_sums(net)
    return net.kernels()
