"""Ways to make a search faster, off by default because they change the last digits."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from hwnas.core.space import Space
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError

from .step.passes import use_bf16

if TYPE_CHECKING:
    from hwnas.supernets.cell import CellSupernet


def require_speed(space: Space, device: str, *, bf16: bool, compiled: bool) -> None:
    """UsageError where a search on `device` (cpu, cuda) cannot be made faster in these ways."""
    kind = torch.device(device).type
    if bf16 and kind != "cuda":
        raise UsageError(
            f"bf16 is for searches on CUDA, and this one runs on {kind}; leave it out, or choose device cuda"
        )
    if compiled and not isinstance(space, CellSpace):
        raise UsageError(
            f"compile works on cells, which space {space.name} does not have; leave it out, or choose a cell "
            "space (darts, nasbench201)"
        )
    if compiled and kind == "cpu" and cpp_compiler() is None:
        raise UsageError(
            "compile needs a C++ compiler on a CPU, and none was found; install g++ (or name yours in the "
            "environment variable CXX), or leave it out"
        )


def speed_up(supernet: nn.Module, *, bf16: bool, compiled: bool) -> None:
    """Speed up a fresh supernet of a space that `require_speed` accepts."""
    if bf16:
        use_bf16(supernet)
    if compiled:
        cast("CellSupernet", supernet).compile_cells()


def cpp_compiler() -> str | None:
    """The path of the compiler that torch.compile would call on this machine; None: there is none."""
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))
