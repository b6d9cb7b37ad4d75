"""The channels of a block in the order of their importance, so that a narrower option keeps the best.

[1] Cai et al. 2020, Once-for-all, 1908.09791, section 3.3: before widths shrink, channels are sorted by
the L1 norm of the weights that read them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROWS = (
    *("expand", "depthwise", "fused", "restore", "restore_bias"),
    *(
        f"{norm}.{part}"
        for norm in ("expand_norm", "depthwise_norm", "fused_norm")
        for part in ("weight", "bias")
    ),
)
"""Parameters of a `mobile.SharedBlock` whose first axis is the middle channels."""
_COLUMNS = ("project", "reduce")
"""Those whose second axis it is."""


@torch.no_grad()
def sort_middle(block: nn.Module) -> None:
    """Reorder the middle channels of a `mobile.SharedBlock`, the largest first [1].

    The block at its largest expansion stays the same function. Where operations of one kind expand less than
    those of another, the channels that all kinds have are sorted. A block that never expands is left alone:
    its middle channels are its input.
    """
    parameters: dict[str, Tensor] = dict(block.named_parameters())
    if "expand" not in parameters:
        return
    rows, columns = ([parameters[n] for n in names if n in parameters] for names in (_ROWS, _COLUMNS))
    n = min([len(tensor) for tensor in rows] + [tensor.shape[1] for tensor in columns])
    order = parameters["project"][:, :n].abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
    for tensor in rows:
        tensor[:n] = tensor[:n][order]
    for tensor in columns:
        tensor[:, :n] = tensor[:, :n][:, order]
