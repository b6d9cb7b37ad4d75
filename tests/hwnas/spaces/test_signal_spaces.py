"""Spaces for signals: kernels of height 1, and costs, supernet and files that follow."""

from typing import Any

import numpy as np
import pytest
import torch

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.flops import counter_macs
from hwnas.networks.front_blocks import FrontBlock
from hwnas.networks.mel_settings import LogMelSettings
from hwnas.networks.modules import module_of
from hwnas.pipeline.networks import arch_onnx, parts, wholes
from hwnas.spaces import load_space
from hwnas.training.mobilenet import mobilenet_v3_small
from profilers.graph import read_graph
from targets.errors import UsageError

SPACE = load_space("mobile", image_size=96, in_channels=6, n_classes=5, dims=1, width_mult=0.5)
X = torch.randn(4, 6, 1, 96, generator=torch.Generator().manual_seed(0))


def test_blocks_cost_what_torch_counts() -> None:
    for block in list(SPACE.blocks().values())[::9]:
        module = module_of(block)
        assert block.macs == counter_macs(module, block.input_shape[1:])
        assert block.params == sum(p.numel() for p in module.parameters())
        assert f"x1x{block.input_shape[3]}/" in block.key


def test_no_kernel_is_higher_than_a_signal() -> None:
    net = SPACE.build(SPACE.sample(np.random.default_rng(0)))
    kernels = {m.kernel_size for m in net.modules() if isinstance(m, torch.nn.Conv2d)}
    assert {height for height, _ in kernels} == {1}
    assert max(width for _, width in kernels) > 1


@pytest.mark.parametrize("seed", range(3))
def test_costs_and_supernet_are_those_of_the_built_network(seed: int) -> None:
    torch.manual_seed(0)
    arch = SPACE.sample(np.random.default_rng(seed))
    net, built = supernets.make(SPACE), SPACE.build(arch)
    exact = CostModel(SPACE).of([arch])
    assert exact["macs"][0] == counter_macs(built, SPACE.scale.sample_shape)
    assert exact["params"][0] == sum(p.numel() for p in built.parameters())
    with torch.no_grad():
        ours, alone = net(X, Mix.one_hot(SPACE.choices, arch)), net.extract(arch).train()(X)
    assert float((ours - alone).abs().max()) < 1e-5


def test_every_node_of_the_exported_file_belongs_to_one_block() -> None:
    arch = SPACE.sample(np.random.default_rng(0))
    graph = read_graph(onnx_bytes(SPACE.build(arch), (1, 6, 1, 96)), "signals")
    named = [node.name for node in graph.nodes if node.name.startswith("/")]
    assert {sum(name.startswith(p) for p in SPACE.prefixes(arch)) for name in named} == {1}


def test_spec_and_id_say_that_it_is_of_signals() -> None:
    assert load_space(**SPACE.spec()).space_id == SPACE.space_id
    assert SPACE.space_id.startswith("mobile-1x96-")


SETTINGS = LogMelSettings.of(8000, 0.5)
FRONT = FrontBlock(SETTINGS.bands, SETTINGS.frames, SETTINGS)
SHAPE: dict[str, Any] = {
    "image_size": SETTINGS.frames,
    "in_channels": 40,
    "n_classes": 5,
    "dims": 1,
    "width_mult": 0.5,
}
SOUNDS = load_space("mobile", **SHAPE, front=FRONT.key)


def test_the_front_end_is_a_block_of_every_network() -> None:
    plain = load_space("mobile", **SHAPE)
    archs = [SOUNDS.sample(np.random.default_rng(seed)) for seed in range(3)]
    ours, without = CostModel(SOUNDS).of(archs), CostModel(plain).of(archs)
    np.testing.assert_allclose(ours["macs"], without["macs"] + FRONT.macs)
    np.testing.assert_allclose(ours["params"], without["params"])
    weights = 2 * 101 * 200 + 40 * 101
    assert (ours["size_mb"] > without["size_mb"] + 4e-6 * weights).all()
    assert {part.key for part in parts(SOUNDS)} - {part.key for part in parts(plain)} == {FRONT.key}
    assert all(network.blocks.count(FRONT.key) == 1 for network in wholes(SOUNDS, 0, 2))
    assert load_space(**SOUNDS.spec()).space_id == SOUNDS.space_id != plain.space_id


def test_networks_that_are_measured_have_it_and_networks_that_are_trained_have_not() -> None:
    arch = SOUNDS.sample(np.random.default_rng(0))
    graph = read_graph(arch_onnx(SOUNDS, arch), "sounds")
    assert [tensor.shape for tensor in graph.inputs.values()] == [(1, 1, 1, 4000)]
    named = [node.name for node in graph.nodes if "/" in node.name]
    assert {sum(name.startswith(p) for p in SOUNDS.prefixes(arch)) for name in named} == {1}
    assert any(name.startswith(SOUNDS.prefixes(arch)[0]) for name in named)
    assert SOUNDS.build(arch)(torch.zeros(2, 40, 1, 48)).shape == (2, 5)
    assert SOUNDS.describe(arch)[0]["name"] == FRONT.key


def test_a_front_end_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"gives \[6, 1, 96\], and networks take \[40, 1, 48\]"):
        load_space("mobile", **SHAPE, front="standardise/6x1x96")
    with pytest.raises(UsageError, match="is for signals; leave it out, or give dims=1"):
        load_space("darts", image_size=32, in_channels=3, n_classes=5, front=FRONT.key)


def test_the_baseline_has_kernels_of_height_1_too() -> None:
    net = mobilenet_v3_small(0.35, 96, 6, 5, dims=1)
    assert net(X).shape == (4, 5)
    assert {m.kernel_size[0] for m in net.modules() if isinstance(m, torch.nn.Conv2d)} == {1}


def test_a_space_that_has_no_blocks_for_signals_says_so() -> None:
    with pytest.raises(
        UsageError, match="space darts is for images; for windows and sounds there are mobile"
    ):
        load_space("darts", image_size=96, in_channels=6, n_classes=5, dims=1)
    with pytest.raises(UsageError, match="signal length 8 is outside 16 to 16384"):
        load_space("mobile", image_size=8, in_channels=6, n_classes=5, dims=1)
