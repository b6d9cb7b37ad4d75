"""The supernet of texts: an architecture of it is the deployed network, a mixed node the sum of its terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.networks.recurrent import RecurrentNetwork
from hwnas.spaces import load_space
from hwnas.spaces.recurrent import RecurrentSpace

SYMBOLS = 5
TEXTS = torch.randint(SYMBOLS, (3, 4), generator=torch.Generator().manual_seed(0))


def space(tmp_path_factory: pytest.TempPathFactory, nodes: int) -> RecurrentSpace:
    file = tmp_path_factory.mktemp("space") / "cell.toml"
    operations = '["none", "tanh", "relu", "sigmoid", "identity"]'
    file.write_text(f'space = "recurrent"\noperations = {operations}\nnodes = {nodes}\nwidths = [4, 6]\n')
    loaded = load_space(str(file), image_size=16, in_channels=1, n_classes=SYMBOLS, dims=0)
    assert isinstance(loaded, RecurrentSpace)
    return loaded


def supernet(of: RecurrentSpace) -> supernets.Supernet:
    torch.manual_seed(0)
    return supernets.make(of)


def test_restricted_to_an_architecture_it_is_the_deployed_network(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cell = space(tmp_path_factory, 3)
    net = supernet(cell)
    for seed in range(6):
        arch = cell.sample(np.random.default_rng(seed))
        deployed = net.extract(arch)
        assert isinstance(deployed, RecurrentNetwork) and deployed.width == cell.widths[arch[0]]
        torch.testing.assert_close(net(TEXTS, Mix.one_hot(cell.choices, arch)), deployed(TEXTS))


def test_a_mixed_node_is_the_sum_of_its_activations(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With one node and one symbol the scores are linear in the probabilities, by the formula of DARTS."""
    cell = space(tmp_path_factory, 1)
    net, width = supernet(cell), 1
    alone = [net(TEXTS[:, :1], Mix.one_hot(cell.choices, (width, k))) for k in range(5)]
    probs = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25], requires_grad=True)
    mixed = net(TEXTS[:, :1], mix_of(probs, (0, 1, 2, 3, 4), ()))
    nothing = alone[0]  # `none` leaves the decoder its bias
    expected = nothing + sum(p * (y - nothing) for p, y in zip(probs[1:], alone[1:], strict=True))
    torch.testing.assert_close(mixed, expected)
    # A probed activation changes nothing, and its probability gets the gradient that it would have as a term.
    gates = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0], requires_grad=True)
    probed = net(TEXTS[:, :1], mix_of(gates, (1,), (3,)))
    torch.testing.assert_close(probed, alone[1])
    probed.sum().backward()
    assert gates.grad is not None
    assert float(gates.grad[3]) == pytest.approx(float((alone[3] - nothing).sum().detach()), abs=1e-5)


def mix_of(probs: Tensor, active: tuple[int, ...], probe: tuple[int, ...]) -> Mix:
    """Of one edge, at the widest state."""
    return Mix((torch.tensor([0.0, 1.0]), probs), ((1,), active), ((), probe))
