"""The space `enas-macro`: choices, costs and supernet against the built network."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import onnx_bytes
from hwnas.spaces import load_space
from targets.errors import UsageError
from tests.support.network_spaces import NetworkSpaceContract

SPACE = load_space("enas-macro", image_size=16, in_channels=3, n_classes=10, cells=6, channels=8)
SEARCH = replace(SPACE.search_scale, channels=8)
X = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(4)


class TestEnasMacro(NetworkSpaceContract):
    space = SPACE
    search = SEARCH


def test_the_size_is_that_of_the_paper() -> None:
    """Section 2.3: 6^L times 2^(L (L - 1) / 2) networks."""
    space = load_space("enas-macro", image_size=32, in_channels=3, n_classes=10)
    assert space.size == 6**12 * 2**66
    assert len(space.choices) == 12 + 66


def test_the_file_is_as_large_as_it_is_priced_when_every_output_is_read() -> None:
    """The nodes of the 66 additions are not priced: 2 %."""
    space = load_space("enas-macro", image_size=16, in_channels=3, n_classes=10)
    arch = tuple(1 for _ in space.choices)
    exported = onnx_bytes(space.build(arch), (1, 3, 16, 16))
    assert CostModel(space).of([arch])["size_mb"][0] == pytest.approx(len(exported) / 1e6, rel=0.02)


def test_a_probe_receives_the_gate_gradient_of_a_mix() -> None:
    torch.manual_seed(0)
    net = supernets.make(SPACE, SEARCH).double()
    one_hot = Mix.one_hot(SPACE.choices, SPACE.sample(np.random.default_rng(0)))
    gates = [w.double().requires_grad_() for w in one_hot.probs]
    others = tuple(
        tuple(k for k in range(len(c.options)) if k not in a)
        for c, a in zip(SPACE.choices, one_hot.active, strict=True)
    )
    probed = F.cross_entropy(net(X.double(), Mix(tuple(gates), one_hot.active, others)), LABELS)
    everything = tuple(tuple(range(len(c.options))) for c in SPACE.choices)
    mixed = F.cross_entropy(net(X.double(), Mix(tuple(gates), everything, one_hot.probe)), LABELS)
    torch.testing.assert_close(probed, mixed)
    found, expected = torch.autograd.grad(probed, gates), torch.autograd.grad(mixed, gates)
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), rtol=1e-9, atol=1e-12)


def test_too_few_cells_get_one_clear_error() -> None:
    with pytest.raises(UsageError, match="too few"):
        load_space("enas-macro", image_size=32, in_channels=3, n_classes=10, cells=2)


def test_what_no_layer_reads_is_not_reduced_and_not_priced() -> None:
    """A chain without skips reduces only what the next layer reads; each skip across brings its reduction."""
    space = load_space("enas-macro", image_size=16, in_channels=3, n_classes=10, cells=6, channels=4)
    chain = tuple(0 for _ in space.choices)
    costs = CostModel(space)
    net = space.build(chain)
    reduced = {name.rsplit(".", 3)[0] for name, _ in net.named_parameters() if "reductions" in name}
    assert reduced == {"reductions.1.1", "reductions.3.3"}
    assert costs.of([chain])["params"][0] == sum(p.numel() for p in net.parameters())
    names = [c.name for c in space.choices]
    across = tuple(int(name == "layer5.0") for name in names)  # of layer 0, over both reductions
    assert len(space.block_keys(across)) == len(space.block_keys(chain)) + 2
    assert costs.of([across])["params"][0] == sum(p.numel() for p in space.build(across).parameters())


def test_costs_of_a_mix_are_the_mean_over_its_architectures() -> None:
    """All architectures of three layers, weighted by the product of random probabilities."""
    space = load_space("enas-macro", image_size=16, in_channels=3, n_classes=10, cells=3, channels=4)
    rng = np.random.default_rng(0)
    probs = [rng.dirichlet(np.ones(len(c.options))) for c in space.choices]
    every = list(itertools.product(*(range(len(p)) for p in probs)))
    weights = np.prod([[p[k] for p, k in zip(probs, arch, strict=True)] for arch in every], axis=1)
    costs = CostModel(space)
    exact = costs.of(every)
    everything = tuple(tuple(range(len(p))) for p in probs)
    mix = Mix(
        tuple(torch.tensor(p, dtype=torch.float32) for p in probs), everything, tuple(() for _ in probs)
    )
    for metric in ("macs", "params", "size_mb"):
        assert float(costs.expected(mix)[metric]) == pytest.approx(weights @ exact[metric], rel=1e-5)
        least, arch = costs.minimum(metric)
        assert least == pytest.approx(exact[metric].min()) == costs.of([arch])[metric][0]
        assert costs.maximum(metric) == pytest.approx(exact[metric].max())
