"""The space `enas-macro`: choices, costs and supernet against the built network."""

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
