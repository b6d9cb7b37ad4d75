"""MACs of a built network, counted by two tools that are not ours: ptflops and torch.

The spaces know their MACs in closed form; these functions are what they are checked against.
torch's `FlopCounterMode` is the oracle. Both work on a copy on the `meta` device: nothing is computed,
and ptflops leaves forward hooks and eval mode behind in what it is given.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence

import torch
from torch import nn

from targets.errors import UsageError


def ptflops_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """MACs for one image of `input_shape` (c, h, w), by ptflops' aten backend (counts biases too).

    Raises UsageError with ptflops' own words, where ptflops would print them and return (None, None).
    """
    from ptflops import get_model_complexity_info

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), torch.no_grad():
        macs, _ = get_model_complexity_info(
            copy.deepcopy(module).to("meta"),
            tuple(input_shape),
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            ost=said,
            backend="aten",
        )
    if macs is None:
        raise UsageError(
            f"ptflops cannot count {type(module).__name__} for an input of shape {tuple(input_shape)}: "
            f"{_last_line(said.getvalue())}"
        )
    return int(macs)


def counter_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """MACs for one image of `input_shape` (c, h, w): half the FLOPs of torch's `FlopCounterMode`."""
    from torch.utils.flop_counter import FlopCounterMode

    twin = copy.deepcopy(module).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin(torch.zeros((1, *input_shape), device="meta"))
    return int(counter.get_total_flops()) // 2


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
