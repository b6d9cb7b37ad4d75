"""The closed forms of a block against torch's counter, ptflops, torch's parameters and exported files."""

import numpy as np
import onnx
import pytest
import torch

from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.flops import counter_macs, ptflops_complexity
from hwnas.networks.mobile_blocks import MobileBlock, Operation
from hwnas.networks.modules import module_of
from targets.errors import UsageError
from tests.support.spaces import mobile_space

SPACE = mobile_space(image_size=48, n_classes=7)
RNG = np.random.default_rng(0)
SOME = [SPACE.blocks()[k] for k in sorted(SPACE.blocks())[::17]]


@pytest.mark.parametrize("spec", SOME, ids=lambda s: s.key)
def test_a_block_counts_like_the_module_it_stands_for(spec: MobileBlock) -> None:
    module = module_of(spec)
    shape = spec.input_shape
    assert spec.macs == counter_macs(module, shape[1:])
    assert spec.params == sum(p.numel() for p in module.parameters())
    with torch.no_grad():
        out = module.eval()(torch.zeros(shape))
    assert out.shape[-1] in (spec.size_out, spec.n_classes)


@pytest.mark.slow
def test_a_network_counts_like_the_built_one_and_its_exported_file() -> None:
    archs = [SPACE.sample(RNG) for _ in range(3)]
    costs = CostModel(SPACE).of(archs)
    for i, arch in enumerate(archs):
        net = SPACE.build(arch)
        shape = (3, 48, 48)
        assert costs["macs"][i] == counter_macs(net, shape)
        # ptflops counts biases and activations of some layers too: within 5 %, never below.
        assert 1.0 <= ptflops_complexity(net, shape)[0] / costs["macs"][i] < 1.05
        assert costs["params"][i] == sum(p.numel() for p in net.parameters())
        exported = onnx_bytes(net, (1, *shape))
        assert costs["size_mb"][i] == pytest.approx(len(exported) / 1e6, rel=0.01)


@pytest.mark.slow
def test_peak_memory_is_that_of_the_liveness_of_the_exported_graph() -> None:
    """Oracle: the exported graph run through in order, element-wise nodes in place, weights not counted."""
    archs = [SPACE.sample(RNG) for _ in range(4)]
    costs = CostModel(SPACE).of(archs)
    for i, arch in enumerate(archs):
        model = onnx.shape_inference.infer_shapes(
            onnx.load_from_string(onnx_bytes(SPACE.build(arch), (1, 3, 48, 48)))
        )
        assert costs["peak_memory_mb"][i] == pytest.approx(_peak_bytes(model.graph) / 1e6, rel=0.05)


def _peak_bytes(graph: onnx.GraphProto) -> int:
    sizes = {
        v.name: 4 * int(np.prod([d.dim_value for d in v.type.tensor_type.shape.dim]))
        for v in [*graph.input, *graph.value_info, *graph.output]
    }
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    in_place = {"Relu", "HardSwish", "HardSigmoid", "Sigmoid", "Add", "Flatten", "Reshape", "Clip"}
    alive = {graph.input[0].name}
    peak = 0
    for i, node in enumerate(graph.node):
        if node.op_type in ("Constant", "Identity"):
            continue
        made = [o for o in node.output if o in sizes]
        dying = {n for n in alive if last.get(n, -1) <= i}
        reused = node.op_type in in_place and any(n in dying for n in node.input)
        peak = max(peak, sum(sizes[n] for n in alive) + (0 if reused else sum(sizes[n] for n in made)))
        alive = (alive - dying) | set(made)
    return peak


@pytest.mark.parametrize("name", ["mb4e3", "mb3e0", "mb3", "mb3e3-hs-se", "conv3", "", "mb3e3\n"])
def test_a_misspelt_operation_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown operation"):
        Operation.parse(name)
