"""The space `pnas`: its size, costs and supernet against the built network, growth, and the exported file."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from hwnas import supernets
from hwnas.core.choice import Arch
from hwnas.core.growing import GrowingSpace
from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.front import Problem, make_strategy, run
from hwnas.spaces import load_space
from hwnas.spaces.pnas import PnasSpace
from tests.support.network_spaces import NetworkSpaceContract, check_costs


def small(image_size: int = 16) -> PnasSpace:
    space = load_space("pnas", image_size=image_size, in_channels=3, n_classes=10, cells=3, channels=4)
    assert isinstance(space, PnasSpace)
    return space


SPACE = small()
SEARCH = replace(SPACE.search_scale, cells=3, channels=4)
X = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(4)
FIRST, LARGER = "older:sep_conv_3x3", "older:sep_conv_5x5"


class TestPnas(NetworkSpaceContract):
    space = SPACE
    search = SEARCH


def test_cells_grow_as_the_paper_counts_them() -> None:
    """Section 4.2: 136 different cells of one block; of a second block there are 24 sides, in 300 pairs."""
    assert isinstance(SPACE, GrowingSpace) and SPACE.n_sizes == 5
    first = list(SPACE.smallest())
    assert len(set(first)) == 136
    grown = list(SPACE.grown(first[7]))
    assert len(set(grown)) == 24 * 25 // 2 == 300
    for arch in (*first, *grown):
        assert SPACE.valid(arch) and SPACE.canonical(arch) == arch
    assert {SPACE.size_of(a) for a in first} == {1} and {SPACE.size_of(a) for a in grown} == {2}
    assert all(a[1:5] == first[7][1:5] for a in grown)
    largest = SPACE.canonical((4, *(0,) * 20))
    assert list(SPACE.grown(largest)) == []


def test_sides_have_no_order_and_what_lies_beyond_the_last_block_does_not_count() -> None:
    text = "1/newer:max_pool_3x3:older:skip_connect/" + "/".join(
        ["older:sep_conv_5x5:older:sep_conv_3x3"] * 4
    )
    same = "1/older:skip_connect:newer:max_pool_3x3/" + "/".join(
        ["older:sep_conv_3x3:older:sep_conv_3x3"] * 4
    )
    assert SPACE.key(SPACE.from_string(text)) == same


def test_costs_of_large_images_are_those_of_the_built_network() -> None:
    """From 65 px on the stem halves the image twice."""
    check_costs(small(72), 72, seed=3)


def test_an_exported_network_is_as_large_as_it_is_priced_and_its_nodes_have_the_prefixes() -> None:
    arch = SPACE.sample(np.random.default_rng(2))
    space = load_space("pnas", image_size=16, in_channels=3, n_classes=10)
    exported = onnx_bytes(space.build(arch), (1, 3, 16, 16))
    assert CostModel(space).of([arch])["size_mb"][0] == pytest.approx(len(exported) / 1e6, rel=0.02)
    names = [node.name for node in onnx.load_from_string(exported).graph.node if node.op_type == "Conv"]
    prefixes, keys = space.prefixes(arch), space.block_keys(arch)
    assert len(prefixes) == len(keys) == len(set(prefixes))
    assert all(sum(name.startswith(p) for p in prefixes) == 1 for name in names)


def test_a_probe_receives_the_gate_gradient_of_a_mix() -> None:
    torch.manual_seed(0)
    space = PnasSpace(SPACE.operations[3:6], 2, SPACE.scale, SEARCH)
    net = supernets.make(space, SEARCH).double()
    one_hot = Mix.one_hot(space.choices, space.sample(np.random.default_rng(1)))
    gates = [w.double().requires_grad_() for w in one_hot.probs]
    everything = tuple(tuple(range(len(c.options))) for c in space.choices)
    others = tuple(
        tuple(k for k in every if k not in a) for every, a in zip(everything, one_hot.active, strict=True)
    )
    probed = F.cross_entropy(net(X.double(), Mix(tuple(gates), one_hot.active, others)), LABELS)
    mixed = F.cross_entropy(net(X.double(), Mix(tuple(gates), everything, one_hot.probe)), LABELS)
    torch.testing.assert_close(probed, mixed)
    # Gates of a block that is only probed have no gradient to first order.
    found, expected = (torch.autograd.grad(loss, gates, materialize_grads=True) for loss in (probed, mixed))
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), rtol=1e-9, atol=1e-12)


def test_features_by_hand() -> None:
    """Block 0 pools the older input and skips the newer; block 1 adds two convolutions of block 0."""
    begin = "2/older:avg_pool_3x3:newer:skip_connect/block0:sep_conv_3x3:block0:sep_conv_5x5/"
    arch = SPACE.canonical(SPACE.from_string(begin + "/".join([f"{FIRST}:{FIRST}"] * 3)))
    features = SPACE.features([arch])
    assert features["operations"][0].tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    assert features["cell"][0].tolist() == [2, 2, 1 + 2, 1]  # blocks, depth, sum of depths, unread blocks


def test_strategy_pnas_grows_its_cells() -> None:
    strategy = make_strategy(
        "pnas", SPACE, Problem.parse(["val_accuracy"]), population=68, seed=0, beam=4, predictor_epochs=20
    )
    skip = SPACE.operations.index("skip_connect")

    def evaluate(archs: Sequence[Arch]) -> list[dict[str, float]]:
        ops = [arch[2 : 4 * (arch[0] + 1) + 1 : 2] for arch in archs]
        return [{"val_accuracy": o.count(skip) / 10} for o in ops]

    run(strategy, evaluate, 3)
    later = [SPACE.from_string(t.arch) for t in strategy.history.trials[136:]]
    assert {SPACE.size_of(a) for a in later} == {2}
    assert strategy.history.trials[136].metrics["val_accuracy"] >= 0.3  # of at most four skips


@pytest.mark.parametrize("source", ["older", "newer"])
def test_a_cell_that_reads_one_input_leaves_no_block_without_effect(source: str) -> None:
    """Weights without a gradient would be priced, and not be in the exported file."""
    names = {".from_": source, ".op_": "sep_conv_3x3"}
    wanted = [next((n for part, n in names.items() if part in c.name), "2") for c in SPACE.choices]
    options = [c.options.index(name) for c, name in zip(SPACE.choices, wanted, strict=True)]
    arch = SPACE.canonical(tuple(options))
    net = SPACE.build(arch)
    F.cross_entropy(net(X), LABELS).backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    supernet = supernets.make(SPACE, SEARCH)
    alone = supernet.extract(arch).train()  # both by the statistics of the batch
    with torch.no_grad():
        shared = supernet(X, Mix.one_hot(SPACE.choices, arch))
        torch.testing.assert_close(shared, alone(X), rtol=1e-4, atol=1e-5)
