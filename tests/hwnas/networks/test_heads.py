"""The head of masks against torchvision's LR-ASPP; networks with a head that reads two maps: costs, files."""

import numpy as np
import pytest
import torch
from torchvision.models.segmentation.lraspp import LRASPPHead

from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.flops import counter_macs
from hwnas.networks.head_layers import MaskHead
from hwnas.networks.head_shapes import HeadShapes
from hwnas.networks.heads import HEADS
from hwnas.networks.mask_head import mask_stride
from hwnas.pipeline.networks import module_onnx
from hwnas.spaces import load_space
from hwnas.tasks.box_decode import sides_of
from hwnas.training.build import build_network
from profilers.graph import read_graph
from targets.errors import UsageError

SHAPES = HeadShapes(c_in=40, size=4, width=24, n_classes=5, image_size=32, inner_c=16, inner_size=8)


def space(name: str = "mobile", image_size: int = 32, head: str = "mask") -> NetworkSpace:
    return load_space(name, image_size=image_size, in_channels=3, n_classes=5, head=head)


def is_an_answer(shape: torch.Size, head: str, image_size: int) -> bool:
    """Of 5 classes: at each pixel of a mask, beside four edges in each cell of two grids."""
    if head == "mask":
        return shape == (1, 5, image_size, image_size)
    return shape[:2] == (1, 4 + 5) and len(sides_of(shape[2])) == 2


def test_it_is_the_lr_aspp_head_of_torchvision_enlarged_to_the_image() -> None:
    torch.manual_seed(0)
    theirs, ours = LRASPPHead(16, 40, 5, 24).eval(), MaskHead(SHAPES).eval()
    mine = (ours.conv[0], ours.conv[1], ours.gate[0], ours.classify_inner, ours.classify)
    pairs = zip(
        mine,
        (theirs.cbr[0], theirs.cbr[1], theirs.scale[1], theirs.low_classifier, theirs.high_classifier),
        strict=True,
    )
    for to, source in pairs:
        to.load_state_dict({k: v for k, v in source.state_dict().items() if k in to.state_dict()})
    theirs.low_classifier.bias.data.zero_()  # one bias does what two did
    low, high = torch.randn(2, 16, 8, 8), torch.randn(2, 40, 4, 4)
    with torch.no_grad():
        expected = torch.nn.functional.interpolate(
            theirs({"low": low, "high": high}), size=(32, 32), mode="bilinear", align_corners=False
        )
        assert torch.allclose(ours(high, low), expected, atol=1e-5)


def test_the_block_costs_what_the_module_does() -> None:
    block, module = HEADS["mask"].block(SHAPES), MaskHead(SHAPES)
    assert block.params == sum(p.numel() for p in module.parameters())
    # by hand: 40*24*16 features, 40*24 gate, 24*5*16 and 16*5*64 logits
    assert block.macs == 15_360 + 960 + 1_920 + 5_120
    # the answer, 5*32*32 floats, and the logits that it is enlarged from, 5*8*8
    assert block.peak_bytes == 4 * (5 * 32 * 32 + 5 * 8 * 8)
    content = module_onnx(module, block.input_shape, block.more_inputs)
    inputs = read_graph(content, "head").inputs.values()
    assert [tuple(i.shape) for i in inputs] == [(1, 40, 4, 4), (1, 16, 8, 8)]


@pytest.mark.parametrize("head", ["mask", "boxes"])
@pytest.mark.parametrize("image_size", [16, 32, 40, 100])
def test_networks_answer_as_their_head_does_and_cost_what_they_are(head: str, image_size: int) -> None:
    known = space(image_size=image_size, head=head)
    arch = known.sample(np.random.default_rng(image_size))
    net = known.build(arch)
    assert is_an_answer(net.eval()(torch.zeros(1, 3, image_size, image_size)).shape, head, image_size)
    costs = CostModel(known).of([arch])
    assert costs["macs"][0] == counter_macs(net, (3, image_size, image_size))
    assert costs["params"][0] == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("head", ["mask", "boxes"])
def test_every_node_of_the_file_belongs_to_one_block_and_no_shape_is_computed_in_it(head: str) -> None:
    known = space(head=head)
    arch = known.sample(np.random.default_rng(0))
    graph = read_graph(onnx_bytes(known.build(arch), (1, 3, 32, 32)), head)
    prefixes = known.prefixes(arch)
    named = [node for node in graph.nodes if node.name.startswith("/")]
    assert {sum(node.name.startswith(p) for p in prefixes) for node in named} == {1}
    assert "Shape" not in {node.op for node in named}
    assert len(prefixes) == len(known.block_keys(arch))


def test_the_inner_map_is_that_of_the_paper_at_the_size_of_the_paper() -> None:
    assert [mask_stride(last) for last in (4, 8, 16, 32)] == [2, 4, 4, 8]


def test_a_space_made_again_from_its_description_has_the_head() -> None:
    known = space()
    assert known.spec()["head"] == "mask"
    assert load_space(**known.spec()).space_id == known.space_id
    assert "head" not in load_space("mobile", image_size=32, in_channels=3, n_classes=5).spec()


@pytest.mark.parametrize("head", ["mask", "boxes"])
@pytest.mark.parametrize("image_size", [16, 32, 224])
def test_the_baseline_takes_the_head_too(head: str, image_size: int) -> None:
    spec = {"baseline": "mobilenet_v3_small", "width": 0.25, "head": head}
    net = build_network({**spec, "image_size": image_size, "in_channels": 3, "n_classes": 5}).eval()
    assert is_an_answer(net(torch.zeros(1, 3, image_size, image_size)).shape, head, image_size)


@pytest.mark.parametrize("name", ["darts", "nasbench201", "enas-macro", "pnas"])
def test_spaces_of_cells_say_at_the_door_that_they_have_one_head(name: str) -> None:
    with pytest.raises(UsageError, match=r"not with the head 'mask'.*--space mobile"):
        space(name)


def test_unknown_heads_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown head 'poses'"):
        load_space("mobile", image_size=32, in_channels=3, n_classes=5, head="poses")
