"""The head of boxes: its grids, what it costs, and networks with it."""

import numpy as np
import pytest
import torch

from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.box_head import BoxHeadBlock, box_stride
from hwnas.networks.flops import counter_macs
from hwnas.networks.head_shapes import HeadShapes
from hwnas.networks.modules import module_of
from hwnas.pipeline.networks import module_onnx
from hwnas.spaces import load_space
from hwnas.tasks.box_decode import sides_of
from hwnas.training.build import build_network
from profilers.graph import read_graph

SHAPES = HeadShapes(c_in=40, size=2, width=24, n_classes=5, image_size=64, inner_c=16, inner_size=8)


def space(image_size: int = 32) -> NetworkSpace:
    return load_space("mobile", image_size=image_size, in_channels=3, n_classes=5, head="boxes")


def test_grids_are_of_stride_8_and_16_from_64_px_on() -> None:
    assert [box_stride(last) for last in (4, 8, 16, 32)] == [2, 4, 8, 8]
    for image_size, sides in ((32, (8, 4)), (64, (8, 4)), (96, (12, 6)), (128, (16, 8)), (224, (28, 14))):
        (head,) = {b.cells for b in space(image_size).blocks().values() if isinstance(b, BoxHeadBlock)}
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


@pytest.mark.parametrize("image_size", [16, 32, 40, 100, 160])
def test_networks_cost_what_they_are(image_size: int) -> None:
    known = space(image_size)
    arch = known.sample(np.random.default_rng(image_size))
    net = known.build(arch)
    answer = net.eval()(torch.zeros(1, 3, image_size, image_size))
    assert answer.shape[:2] == (1, 9) and sides_of(answer.shape[2])
    costs = CostModel(known).of([arch])
    assert costs["macs"][0] == counter_macs(net, (3, image_size, image_size))
    assert costs["params"][0] == sum(p.numel() for p in net.parameters())


def test_every_node_of_the_file_belongs_to_one_block_and_no_shape_is_computed_in_it() -> None:
    known = space()
    arch = known.sample(np.random.default_rng(0))
    graph = read_graph(onnx_bytes(known.build(arch), (1, 3, 32, 32)), "boxes")
    prefixes = known.prefixes(arch)
    named = [node for node in graph.nodes if node.name.startswith("/")]
    assert {sum(node.name.startswith(p) for p in prefixes) for node in named} == {1}
    assert "Shape" not in {node.op for node in named}


@pytest.mark.parametrize("image_size", [16, 32, 224])
def test_the_baseline_takes_the_head_too(image_size: int) -> None:
    spec = {"baseline": "mobilenet_v3_small", "width": 0.25, "head": "boxes"}
    net = build_network({**spec, "image_size": image_size, "in_channels": 3, "n_classes": 5}).eval()
    assert sides_of(net(torch.zeros(1, 3, image_size, image_size)).shape[2])
