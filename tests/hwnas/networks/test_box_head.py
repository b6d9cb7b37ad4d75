"""The head of boxes: its grids, and what it costs; `test_heads` has the networks with it."""

import pytest
import torch

from hwnas.networks.box_head import BoxHeadBlock, box_stride
from hwnas.networks.head_shapes import HeadShapes
from hwnas.networks.modules import module_of
from hwnas.pipeline.networks import module_onnx
from hwnas.spaces import load_space
from hwnas.tasks.box_decode import sides_of
from profilers.graph import read_graph

SHAPES = HeadShapes(c_in=40, size=2, width=24, n_classes=5, image_size=64, inner_c=16, inner_size=8)


def test_grids_are_of_stride_8_and_16_from_64_px_on() -> None:
    assert [box_stride(last) for last in (4, 8, 16, 32)] == [2, 4, 8, 8]
    for image_size, sides in ((32, (8, 4)), (64, (8, 4)), (96, (12, 6)), (128, (16, 8)), (224, (28, 14))):
        space = load_space("mobile", image_size=image_size, in_channels=3, n_classes=5, head="boxes")
        (head,) = {b.cells for b in space.blocks().values() if isinstance(b, BoxHeadBlock)}
        assert sides_of(head) == sides


def test_the_block_costs_what_the_module_does() -> None:
    block = BoxHeadBlock(SHAPES)
    module = module_of(block)
    assert block.params == sum(p.numel() for p in module.parameters())
    # by hand: 40*24*4 and 16*24*64 to one width; of each of 80 cells 9*24, 24*24 and 24*9
    assert block.macs == 3_840 + 24_576 + 80 * (216 + 576 + 216)
    # four maps of 24 channels: the coarse one, the inner one, the enlarged one and their sum
    assert block.peak_bytes == 4 * 24 * (16 + 3 * 64)
    answer = module(torch.zeros(block.input_shape), torch.zeros(block.more_inputs[0]))
    assert answer.shape[1:] == (9, 80) and block.shape_out == [9, 1, 80]
    inputs = read_graph(module_onnx(module, block.input_shape, block.more_inputs), "head").inputs.values()
    assert [tuple(i.shape) for i in inputs] == [(1, 40, 2, 2), (1, 16, 8, 8)]


def test_a_fresh_head_gives_each_class_a_hundredth() -> None:
    module = module_of(BoxHeadBlock(SHAPES)).eval()
    answer = module(torch.zeros(1, 40, 2, 2), torch.zeros(1, 16, 8, 8))
    assert torch.sigmoid(answer[:, 4:]).mean().item() == pytest.approx(0.01, abs=1e-3)
