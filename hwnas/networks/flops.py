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


def ptflops_complexity(module: nn.Module, input_shape: Sequence[int]) -> tuple[int, int]:
    """MACs for one image of `input_shape` (c, h, w), and parameters, by ptflops' aten backend.

    It counts convolutions and matrix products, with a MAC for each value that a bias is added to.
    Raises UsageError with ptflops' own words, where ptflops would print them and return (None, None).
    """
    from ptflops import get_model_complexity_info

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), torch.no_grad():
        macs, params = get_model_complexity_info(
            copy.deepcopy(module).to("meta"),
            tuple(input_shape),
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            ost=printed,
            backend="aten",
        )
    if macs is None:
        raise UsageError(
            f"ptflops cannot count {type(module).__name__} for an input of shape {tuple(input_shape)}: "
            f"{_last_line(printed.getvalue())}"
        )
    return int(macs), int(params)


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
