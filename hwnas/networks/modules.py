"""Blocks as torch modules. The blocks themselves are arithmetic, and load no torch."""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from hwnas.core.block import Block

from .box_head import BoxHeadBlock
from .box_head_layers import box_head_module
from .cell_blocks import CellBlock
from .cell_layers import cell_module
from .front_blocks import FrontBlock
from .head_layers import mask_head_module
from .log_mel import front_module
from .mask_head import MaskHeadBlock
from .mobile_blocks import MobileBlock
from .mobile_layers import mobile_module
from .recurrent import recurrent_module
from .recurrent_blocks import RecurrentBlock


@singledispatch
def module_of(block: Block) -> nn.Module:
    """The block as a torch module with fresh weights, input `block.input_shape`.

    A new class of blocks registers its own function: `module_of.register(MyBlock, my_module)`.
    """
    raise TypeError(f"no module is registered for blocks of class {type(block).__name__}")


module_of.register(MobileBlock, mobile_module)
module_of.register(CellBlock, cell_module)
module_of.register(MaskHeadBlock, mask_head_module)
module_of.register(BoxHeadBlock, box_head_module)
module_of.register(RecurrentBlock, recurrent_module)
module_of.register(FrontBlock, front_module)
