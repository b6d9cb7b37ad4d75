"""The space `recurrent`: size, costs, the cell by hand, and the file against torch."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.onnx_score import open_session, outputs_of
from hwnas.networks.modules import module_of
from hwnas.pipeline.networks import module_onnx
from hwnas.spaces import load_space
from hwnas.spaces.recurrent import RecurrentSpace
from profilers.graph import read_graph
from targets.errors import UsageError

SPACE = cast(RecurrentSpace, load_space("recurrent", image_size=16, in_channels=1, n_classes=27))
RANDOM = SPACE.sample(np.random.default_rng(0))


def test_the_size_is_an_earlier_node_and_an_activation_for_each_node() -> None:
    assert SPACE.size == 3 * math.factorial(8) * 4**8


@pytest.mark.parametrize("arch", [*SPACE.published(), RANDOM])
def test_costs_are_those_of_one_symbol_of_the_built_network(arch: tuple[int, ...]) -> None:
    net, costs = SPACE.build(arch), CostModel(SPACE)
    exact = costs.of([arch])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, dtype=torch.int64), torch.zeros(1, net.width))
    assert exact["macs"][0] == counter.get_total_flops() / 2
    assert exact["params"][0] == sum(p.numel() for p in net.parameters())
    file = onnx_bytes(net, (1, 1, 1, 16))
    assert exact["size_mb"][0] == pytest.approx(len(file) / 1e6, rel=0.05)
    one_hot = costs.expected(Mix.one_hot(SPACE.choices, arch))
    for metric in costs.metrics:
        assert float(one_hot[metric]) == pytest.approx(exact[metric][0], rel=1e-5)


def test_one_step_is_the_formula_of_the_paper() -> None:
    """Liu et al. 2019, appendix A.1: s_i = s_j + sigmoid(s_j W^c) (f(s_j W^h) - s_j), mean of the nodes."""
    arch = SPACE.published()[0]
    net = SPACE.build(arch).eval()
    rng = np.random.default_rng(1)
    state = rng.normal(size=(1, 32)).astype(np.float32)
    weights = {name: p.detach().double().numpy() for name, p in net.named_parameters()}

    def mixed(before: np.ndarray, read: np.ndarray, matrix: np.ndarray, name: str) -> np.ndarray:
        c, h = np.split(read @ matrix.T, 2, axis=1)
        f: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "tanh": np.tanh,
            "relu": lambda z: np.maximum(z, 0),
            "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
            "identity": lambda z: z,
        }
        return before + f["sigmoid"](c) * (f[name](h) - before)

    x = weights["embed.table.weight"][[5]]
    nodes = [mixed(state.astype(float), np.hstack([x, state]), weights["first.product.weight"], "tanh")]
    for i, (name, source) in enumerate(SPACE.cell_of(arch)):
        nodes.append(mixed(nodes[source], nodes[source], weights[f"nodes.{i}.product.weight"], name))
    after = np.mean(nodes[1:], axis=0)
    scores = after @ weights["decode.linear.weight"].T + weights["decode.linear.bias"]
    with torch.no_grad():
        logits, new = net(torch.tensor([5]), torch.from_numpy(state))
    assert new.numpy() == pytest.approx(after, abs=1e-5)
    assert logits.numpy() == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_read_step_by_step_answers_as_torch_does_on_the_text(batch: int) -> None:
    torch.manual_seed(0)
    net = SPACE.build(RANDOM).eval()
    text = torch.randint(0, 27, (batch, 40))
    answered = outputs_of(open_session(onnx_bytes(net, (batch, 1, 1, 16))), text.numpy())
    with torch.no_grad():
        assert answered == pytest.approx(net(text).numpy(), abs=1e-5)


def test_every_node_of_the_file_belongs_to_one_block() -> None:
    graph = read_graph(onnx_bytes(SPACE.build(RANDOM), (1, 1, 1, 16)), "recurrent")
    prefixes = SPACE.prefixes(RANDOM)
    assert len(prefixes) == len(SPACE.block_keys(RANDOM)) == len(SPACE.describe(RANDOM))
    named = [node.name for node in graph.nodes if node.name.startswith("/")]
    assert {sum(name.startswith(p) for p in prefixes) for name in named} == {1}


def test_every_block_is_a_file_of_its_own() -> None:
    for block in SPACE.blocks().values():
        if block.input_shape[1] == 32:
            module = module_of(block)
            assert sum(p.numel() for p in module.parameters()) == block.params
            assert open_session(module_onnx(module, block.input_shape)).get_outputs()


def test_a_cell_and_its_width_are_an_architecture_and_back() -> None:
    for arch in (*SPACE.published(), RANDOM):
        assert SPACE.arch_of(SPACE.cell_of(arch), arch[0]) == arch
        assert SPACE.from_string(SPACE.to_string(arch)) == arch


def test_what_reads_no_texts_is_no_space_for_them(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"image_size": 32, "in_channels": 1, "n_classes": 10}
    with pytest.raises(
        UsageError, match="reads images and signals; for --task language give --space recurrent"
    ):
        load_space("mobile", dims=0, **shape)
    with pytest.raises(UsageError, match="reads texts; give --task language"):
        load_space("recurrent", dims=2, **shape)
    file = tmp_path / "own.toml"
    for text, says in (
        ('operations = ["tanh"]\nnodes = 2\nwidths = [8]', "operations needs 'none'"),
        ('operations = ["none", "gelu"]\nnodes = 2\nwidths = [8]', "unknown operation 'gelu'"),
        ('operations = ["none", "tanh"]\nnodes = 2\nwidths = [8, 8]', "widths must be different numbers"),
        ('operations = ["none", "tanh"]\nnodes = 99\nwidths = [8]', "nodes = 99"),
    ):
        file.write_text(f'space = "recurrent"\n{text}\n')
        with pytest.raises(UsageError, match=says):
            load_space(str(file), **shape)
    file.write_text('space = "recurrent"\noperations = ["none", "tanh"]\nnodes = 2\nwidths = [8]\n')
    assert load_space(str(file), **shape).size == 2
