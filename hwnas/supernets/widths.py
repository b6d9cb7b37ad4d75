"""A choice of widths in a mix: the widest that runs, and what each of its channels counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hwnas.core.fixed_index import marked
from hwnas.core.mix import Mix


def running_width(
    widths: Sequence[int], choice: int, mix: Mix, device: torch.device
) -> tuple[int, Tensor | None]:
    """The width to run at and, where widths are mixed, the factor of each channel, (width,).

    A channel counts by the sum of the probabilities of the widths that own it.
    """
    running = (*mix.active[choice], *mix.probe[choice])
    width = max(widths[k] for k in running)
    probs = mix.probs[choice]
    if len(running) == 1 and not probs.requires_grad:
        return width, None
    owned = [tuple(range(w)) if k in running else () for k, w in enumerate(widths)]
    owners = torch.stack([marked(channels, width, device) for channels in owned]).to(probs.dtype)
    return width, probs @ owners
