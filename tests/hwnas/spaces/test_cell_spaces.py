"""Cell spaces: what derives from their choices; prices against built networks and the published table."""

import itertools
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.choice import NONE, Choice
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace
from hwnas.core.space import Space
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.cell_blocks import CellOp
from hwnas.networks.flops import counter_macs
from hwnas.networks.modules import module_of
from hwnas.spaces import load_space
from hwnas.spaces.darts import DartsSpace
from targets.errors import UsageError
from tests.support.spaces import cell_space

DARTS = cell_space("darts")
NB201 = cell_space("nasbench201")
SMALL = cell_space("darts", cells=4, channels=8)
LARGE = cell_space("darts", image_size=96, n_classes=7, cells=3, channels=8)
SPACES = pytest.mark.parametrize("space", [SMALL, LARGE, NB201], ids=["darts", "large images", "nasbench201"])
ARCHS = st.integers(0, 2**32 - 1).map(lambda seed: DARTS.sample(np.random.default_rng(seed)))


def kept(arch: tuple[int, ...]) -> list[int]:
    nodes: dict[str, int] = {}
    for choice, k in zip(DARTS.choices, arch, strict=True):
        assert choice.node is not None
        nodes[choice.node] = nodes.get(choice.node, 0) + (choice.options[k] != NONE)
    return list(nodes.values())


@given(ARCHS, ARCHS, st.integers(0, 1000))
@settings(deadline=None)
def test_variation_keeps_two_edges_per_node(a: tuple[int, ...], b: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for arch in (a, DARTS.mutate(a, rng), DARTS.cross_over(a, b, rng)):
        assert kept(arch) == [2] * 8
        assert DARTS.valid(arch)
        assert DARTS.from_string(DARTS.to_string(arch)) == arch
    child = DARTS.cross_over(a, b, rng)
    none = DARTS.choices[0].options.index(NONE)
    assert all(c in (x, y, none) for c, x, y in zip(child, a, b, strict=True))


def test_an_architecture_with_three_edges_at_a_node_is_not_valid() -> None:
    arch = [0] * len(DARTS.choices)
    assert not DARTS.valid(tuple(arch))
    for i in (0, 1, 2, 3, 4):
        arch[i] = 1
    assert not DARTS.valid(tuple(arch))


def test_sizes_are_those_of_the_papers() -> None:
    """Liu et al. 2019, appendix A.2: prod over k of (k + 1) k / 2 * 7^2, per cell, about 10^9."""
    per_cell = 1
    for k in (1, 2, 3, 4):
        per_cell *= comb(k + 1, 2) * 49
    assert DARTS.size == per_cell**2
    assert NB201.size == 15_625


def test_enumeration_of_a_node_is_its_combinations() -> None:
    options = (NONE, "a", "b")
    toy = Space("toy", [Choice("free", ("x", "y")), *(Choice(f"e.{i}", options, "n", 2) for i in range(3))])
    found = list(toy.enumerate())
    brute = [a for a in itertools.product(range(2), *[range(3)] * 3) if sum(k != 0 for k in a[1:]) == 2]
    assert found == brute
    assert toy.size == len(brute) == 2 * 3 * 4


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ([Choice("a", ("x", "y"), "n", 1)], "needs the option 'none'"),
        ([Choice("a", (NONE, "y"), "n", 1), Choice("b", (NONE, "y"), "n", 2)], "same keep"),
        ([Choice("a", (NONE, "y"), "n", 2)], "cannot keep 2 of 1 edges"),
    ],
)
def test_bad_nodes_get_one_clear_error(choices: list[Choice], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Space("toy", choices)


@pytest.mark.slow
@SPACES
def test_the_cost_of_a_one_hot_mix_is_that_of_the_built_network(space: NetworkSpace) -> None:
    rng = np.random.default_rng(0)
    costs = CostModel(space)
    shape = (3, space.scale.image_size, space.scale.image_size)
    for arch in [space.sample(rng) for _ in range(3)]:
        net = space.build(arch)
        expected = costs.expected(Mix.one_hot(space.choices, arch))
        exact = costs.of([arch])
        assert exact["macs"][0] == counter_macs(net, shape)
        assert exact["params"][0] == sum(p.numel() for p in net.parameters())
        exported = onnx_bytes(net, (1, *shape))
        assert exact["size_mb"][0] == pytest.approx(len(exported) / 1e6, rel=0.02, abs=0.02)
        for metric in costs.metrics:
            assert float(expected[metric]) == pytest.approx(exact[metric][0], rel=1e-5)


def test_an_edge_weight_scales_the_price_of_its_edge() -> None:
    rng = np.random.default_rng(1)
    arch = DARTS.sample(rng)
    mix = Mix.one_hot(DARTS.choices, arch)
    costs = CostModel(DARTS)
    free = costs.of([tuple([3] * len(arch))])["macs"][0]  # identities: all that no choice rules
    edge = next(i for i, k in enumerate(arch) if DARTS.choices[i].options[k] == "sep_conv_3x3")
    halves = torch.ones(len(arch))
    halves[edge] = 0.5
    whole = float(costs.expected(mix)["macs"])
    half = float(costs.expected(Mix(mix.probs, mix.active, mix.probe, edge_weights=halves))["macs"])
    own = [*arch]
    own[edge] = 0
    without = costs.of([tuple(own)])["macs"][0]
    assert half == pytest.approx((whole + without) / 2, rel=1e-6)
    assert whole > without > 0 and free > 0


@pytest.mark.parametrize("metric", ["macs", "params", "peak_memory_mb"])
def test_the_minimum_keeps_two_edges_per_node(metric: str) -> None:
    costs = CostModel(SMALL)
    value, arch = costs.minimum(metric)
    assert SMALL.valid(arch)
    assert costs.of([arch])[metric][0] == pytest.approx(value)
    rng = np.random.default_rng(2)
    assert costs.of([SMALL.sample(rng) for _ in range(300)])[metric].min() >= value - 1e-12


SKIP, CONV1, CONV3, AVG = 1, 2, 3, 4


@pytest.mark.parametrize(
    ("arch", "params_m"),
    [((AVG, CONV1, SKIP, CONV1, SKIP, SKIP), 0.129306), ((CONV3, CONV3, AVG, SKIP, CONV3, SKIP), 0.802426)],
)
def test_parameters_of_nasbench201_are_those_of_the_published_table(
    arch: tuple[int, ...], params_m: float
) -> None:
    """The first two rows of NAS-Bench-201, CIFAR-10."""
    assert CostModel(NB201).of([arch])["params"][0] / 1e6 == pytest.approx(params_m, abs=1e-6)


def test_dead_edges_of_nasbench201_are_none() -> None:
    none, skip = 0, 1
    # edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3: node 1 gets nothing, node 2 leads nowhere
    assert NB201.canonical((none, 3, 3, skip, 3, none)) == (none, none, none, skip, none, none)
    for seed in range(20):
        arch = NB201.sample(np.random.default_rng(seed))
        assert NB201.canonical(arch) == arch


def test_networks_that_ignore_their_image_are_known() -> None:
    """By the four paths through a cell, 0-3, 0-1-3, 0-2-3, 0-1-2-3, in all 15,625 of them."""
    ignored = 0
    for arch in itertools.product(range(5), repeat=6):
        e01, e02, e12, e03, e13, e23 = (NB201.operations[k] != NONE for k in arch)
        reads = e03 or (e01 and e13) or (e02 and e23) or (e01 and e12 and e23)
        assert NB201.reads_image(arch) == reads
        ignored += not reads
    assert ignored == 341
    assert DARTS.reads_image(DARTS.sample(np.random.default_rng(0)))


@pytest.mark.parametrize("space", [DARTS, NB201], ids=["darts", "nasbench201"])
def test_a_space_is_found_again_by_its_spec(space: NetworkSpace) -> None:
    again = load_space(**space.spec())
    assert again.space_id == space.space_id
    assert again.choices == space.choices


def test_blocks_have_the_features_that_a_latency_predictor_needs() -> None:
    for space in (DARTS, NB201, LARGE):
        blocks = list(space.blocks().values())
        assert len({frozenset(b.features) for b in blocks}) == 1
        for block in blocks[::5]:
            assert block.macs == counter_macs(module_of(block), block.input_shape[1:])
    rows = DARTS.describe(DARTS.sample(np.random.default_rng(0)))
    assert {"name", "kind", "kernel", "in", "out", "stride", "macs"} <= set(rows[0])


def test_peak_memory_is_an_upper_bound_by_hand() -> None:
    """All edges are poolings: the widest moment is before the first reduction cell, at 32 px.

    Live: the stem's output (24 channels), its ReLU (24), what is made of it (16), the last cell's output
    (32).
    """
    pools = [1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    floats = (24 + 24 + 16 + 32) * 32 * 32
    found = CostModel(SMALL).of([tuple(pools * 2)])["peak_memory_mb"][0]
    assert found == pytest.approx(4 * floats / 1e6)


def test_the_evaluation_networks_of_the_published_cell_have_their_published_size() -> None:
    """DARTS_V2 at 20 cells, 36 channels: 3.3 M parameters (Liu et al. 2019, table 1), auxiliary left out."""
    edges = {
        "normal": {(0, 2): 4, (1, 2): 4, (0, 3): 4, (1, 3): 4, (0, 4): 3, (1, 4): 4, (0, 5): 3, (2, 5): 6},
        "reduce": {(0, 2): 1, (1, 2): 1, (1, 3): 1, (2, 3): 3, (0, 4): 1, (2, 4): 3, (1, 5): 1, (2, 5): 3},
    }
    options = DARTS.choices[0].options
    names = [
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
    ]
    arch = tuple(
        options.index(names[edges[kind].get((s, t), 0)])
        for kind in ("normal", "reduce")
        for t in range(2, 6)
        for s in range(t)
    )
    assert DARTS.valid(arch)
    assert CostModel(DARTS).of([arch])["params"][0] / 1e6 == pytest.approx(3.35, abs=0.05)


def test_the_auxiliary_head_and_drop_path_act_in_training_only() -> None:
    assert isinstance(SMALL, DartsSpace)
    net = SMALL.build(SMALL.sample(np.random.default_rng(0)), auxiliary=True)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits, second = net.forward_both(x)
        assert second is not None and logits.shape == second.shape == (2, 10)
        net.drop_path = 0.5
        assert not torch.equal(net(x), net(x))
        net.eval()
        assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    "name", ["sep_conv_4x4", "sep_conv_3x5", "sep_conv_1x1", "max_pool_5x5", "", "none "]
)
def test_a_misspelt_operation_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown operation"):
        CellOp.parse(name)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("nodes = 4", "nodes = 1", "nodes = 1 must lie in 2 to 8"),
        ('"none", ', "", "operations needs 'none'"),
        ("channels = 36", "channels = 35", "must be even"),
        ('space = "darts"', 'space = "dart"', "did you mean 'darts'"),
        ("cells = 20", "cels = 20", "did you mean 'cells'"),
        ('"sep_conv_3x3"', '"sep_conv_2x2"', "unknown operation"),
    ],
)
def test_a_faulty_definition_names_the_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    import hwnas.spaces

    text = (Path(hwnas.spaces.__file__).parent / "darts.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=says):
        load_space(str(path), image_size=32, in_channels=3, n_classes=10)


def test_widths_and_cells_are_refused_where_they_mean_nothing() -> None:
    with pytest.raises(UsageError, match="has no width multiplier"):
        load_space("darts", image_size=32, in_channels=3, n_classes=10, width_mult=0.5)
    with pytest.raises(UsageError, match="no cells"):
        load_space("mobile", image_size=32, in_channels=3, n_classes=10, cells=8)


def test_a_string_of_another_space_is_answered_with_a_valid_one() -> None:
    with pytest.raises(UsageError) as refused:
        DARTS.from_string("16:mb3e3")
    example = str(refused.value).rsplit("'", 2)[1]
    assert DARTS.valid(DARTS.from_string(example))
