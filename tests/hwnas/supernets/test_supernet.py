"""The supernet: restricted to an architecture it is the built network; probes get gate gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hwnas import supernets
from hwnas.core.mix import Mix
from tests.support.spaces import mobile_space

SPACE = mobile_space()
X = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(
    memory_format=torch.channels_last
)


def supernet() -> supernets.MobileSupernet:
    torch.manual_seed(0)
    net = supernets.make(SPACE)
    assert isinstance(net, supernets.MobileSupernet)
    return net


@pytest.mark.parametrize("seed", range(8))
def test_restricted_to_an_architecture_it_is_the_built_network(seed: int) -> None:
    net = supernet()
    with torch.no_grad():  # so that a copied norm cannot hide behind its start value
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)))
    arch = SPACE.sample(np.random.default_rng(seed))
    built = net.extract(arch).train()
    assert (built(X) - net(X, Mix.one_hot(SPACE.choices, arch))).abs().max() < 1e-5


def with_mix(
    base: tuple[int, ...], choice: int, weights: Tensor, active: tuple[int, ...], probe: tuple[int, ...]
) -> Mix:
    mix = Mix.one_hot(SPACE.choices, base)
    w, a, p = list(mix.probs), list(mix.active), list(mix.probe)
    w[choice], a[choice], p[choice] = weights, active, probe
    return Mix(tuple(w), tuple(a), tuple(p))


def test_a_mix_at_the_last_layer_is_the_weighted_sum_of_its_operations() -> None:
    """The head is linear up to its norm, so compare what enters it: hook the last layer."""
    net = supernet()
    arch = tuple(0 for _ in SPACE.choices)
    last = len(SPACE.choices) - 1
    seen: list[Tensor] = []
    layers = [m for m in net.modules() if type(m).__name__ == "MixedLayer"]
    layers[-1].register_forward_hook(lambda module, args, out: seen.append(out.detach()))
    n = len(SPACE.choices[last].options)
    for option in (0, 7, n - 1):
        net(X, Mix.one_hot(SPACE.choices, (*arch[:-1], option)))
    weights = torch.zeros(n)
    weights[0], weights[7], weights[n - 1] = 0.2, 0.3, 0.5
    net(X, with_mix(arch, last, weights, (0, 7, n - 1), ()))
    expected = 0.2 * seen[0] + 0.3 * seen[1] + 0.5 * seen[2]
    assert torch.allclose(seen[3], expected, atol=1e-5)


def test_a_probe_changes_nothing_but_receives_the_gate_gradient() -> None:
    """dL/dg_k = <dL/dout, o_k(x)>: measured by making the gate a tiny number instead."""
    net = supernet()
    arch = tuple(0 for _ in SPACE.choices)
    layer = SPACE.stages[1].layers[0]
    n = len(SPACE.choices[layer].options)
    gates = torch.zeros(n, requires_grad=True)
    with torch.no_grad():
        gates[0] = 1.0
    loss = net(X, with_mix(arch, layer, gates, (0,), (4,))).square().mean()
    plain = net(X, Mix.one_hot(SPACE.choices, arch)).square().mean()
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-6)
    loss.backward()
    assert gates.grad is not None
    # The gradient of gate 0 may round to 0: the norm that follows undoes the scale of a single option.
    assert set(torch.nonzero(gates.grad).flatten().tolist()) - {0} == {4}
    net.double()
    moved = torch.zeros(n, dtype=torch.float64)
    values = []
    for step in (-1e-5, 1e-5):
        moved[0], moved[4] = 1.0, step
        with torch.no_grad():
            values.append(float(net(X.double(), with_mix(arch, layer, moved, (0, 4), ())).square().mean()))
    assert float(gates.grad[4]) == pytest.approx((values[1] - values[0]) / 2e-5, rel=1e-2)


def test_a_probe_leaves_no_gradient_in_the_weights_it_alone_uses() -> None:
    net = supernet()
    arch = tuple(0 for _ in SPACE.choices)
    layer = SPACE.stages[0].layers[0]
    options = SPACE.choices[layer].options
    gates = torch.zeros(len(options), requires_grad=True)
    with torch.no_grad():
        gates[0] = 1.0
    net(X, with_mix(arch, layer, gates, (0,), (options.index("mb7e3"),))).sum().backward()
    block = next(m for m in net.modules() if type(m).__name__ == "SharedBlock")
    gradient = block.get_parameter("depthwise").grad
    assert gradient is not None
    assert bool((gradient[:, :, 2:5, 2:5] != 0).any())  # the 3 × 3 that is active is the centre
    ring = gradient.clone()
    ring[:, :, 2:5, 2:5] = 0
    assert not bool(ring.any())  # only the probed 7 × 7 has the rest


def test_mixed_widths_mask_the_channels_by_the_weights_that_own_them() -> None:
    net = supernet()
    stage = SPACE.stages[0]
    arch = tuple(0 for _ in SPACE.choices)
    seen: list[Tensor] = []
    first = next(m for m in net.modules() if type(m).__name__ == "MixedLayer")
    first.register_forward_hook(lambda module, args, out: seen.append(out.detach()))
    wide = (1, *arch[1:])
    net(X, Mix.one_hot(SPACE.choices, wide))
    weights = torch.tensor([0.25, 0.75], requires_grad=True)
    net(X, with_mix(arch, stage.width_choice, weights, (0, 1), ())).sum().backward()
    narrow = stage.widths[0]
    assert torch.allclose(seen[1][:, :narrow], seen[0][:, :narrow], atol=1e-6)
    assert torch.allclose(seen[1][:, narrow:], 0.75 * seen[0][:, narrow:], atol=1e-6)
    assert weights.grad is not None and bool(torch.isfinite(weights.grad).all())


@pytest.mark.slow
def test_every_weight_learns_from_some_architecture() -> None:
    net = supernet()
    rng = np.random.default_rng(0)
    for _ in range(60):
        net(X, Mix.one_hot(SPACE.choices, SPACE.sample(rng))).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_sorted_channels_leave_the_largest_network_as_it_was() -> None:
    """Once-for-all, section 3.3: only narrower options change, to the channels with the largest L1 norm."""
    net = supernet()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    sizes = [[sum(SPACE.smaller_by(c, o).values()) for o in range(n)] for c, n in enumerate(SPACE.n_options)]
    option = {name: i for i, name in enumerate(SPACE.choices[1].options)}
    for name in ("mb7e6", "mb7e6-se-hs", "fused3e6-hs"):
        ops = tuple(option[name] if "." in c.name else len(c.options) - 1 for c in SPACE.choices)
        narrow = tuple(
            option["mb7e3"] if "." in c.name else i for c, i in zip(SPACE.choices, ops, strict=True)
        )
        assert all(sizes[c][o] == 0 for c, o in enumerate(ops))
        before, small = (net(X, Mix.one_hot(SPACE.choices, a)).detach() for a in (ops, narrow))
        net.sort_channels()
        after, other = (net(X, Mix.one_hot(SPACE.choices, a)).detach() for a in (ops, narrow))
        assert (before - after).abs().max() < 1e-4
        assert (small - other).abs().max() > 1e-2 or name != "mb7e6"  # sorted once, they stay so
    for block in (m for m in net.modules() if type(m).__name__ == "SharedBlock"):
        norms = block.get_parameter("project").abs().sum((0, 2, 3))
        assert (norms[:-1] >= norms[1:]).all()
