"""The supernet of cell spaces against a straightforward one, edge by edge, and against the built networks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.networks.cells import Fixed
from hwnas.networks.wrappers import AuxSkip, DropPath, Partial, SkipDropout, Wrapper
from hwnas.spaces.cells import CellSpace
from hwnas.supernets.cell import CellSupernet, MixedCell, shuffle
from hwnas.supernets.cell_edges import Edges
from targets.errors import UsageError
from tests.support.spaces import cell_space

BATCH = 4


DARTS, NB201 = cell_space("darts", image_size=16), cell_space("nasbench201", image_size=16)
ODD = cell_space("darts", image_size=28)  # maps of 28, 14 and 7 px: the last cannot be split into phases


def supernet(of: CellSpace, *wrappers: Wrapper, cells: int = 3, channels: int = 8) -> CellSupernet:
    torch.manual_seed(0)
    cells = 1 if of is NB201 else cells
    net = supernets.make(of, replace(of.search_scale, cells=cells, channels=channels), *wrappers)
    assert isinstance(net, CellSupernet)
    return net


def images(of: CellSpace, dtype: torch.dtype = torch.float32) -> Tensor:
    size = of.scale.image_size
    return torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)


LABELS = torch.arange(BATCH)


def softmax_mix(
    of: CellSpace, dtype: torch.dtype, active: Callable[[int], Sequence[int]] | None = None
) -> tuple[list[Tensor], Mix]:
    """Alphas, and the mix of their softmax; active(choice) says which options run (default: all)."""
    generator = torch.Generator().manual_seed(2)
    alphas = [torch.randn(len(c.options), generator=generator, dtype=dtype) for c in of.choices]
    leaves = [a.requires_grad_() for a in alphas]
    runs = tuple(
        tuple(range(len(c.options)) if active is None else active(i)) for i, c in enumerate(of.choices)
    )
    return leaves, Mix(tuple(F.softmax(a, 0) for a in leaves), runs, tuple(() for _ in runs))


# The oracle: one edge and one operation after the other, as the papers write it.


def norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, None, None, True)


def part(module: nn.Module, name: str, i: int) -> Tensor:
    stacked, n = module.get_parameter(name), module.n
    assert isinstance(n, int)
    size = len(stacked) // n
    return stacked[i * size : (i + 1) * size]


def oracle_operation(
    edges: Edges, name: str, i: int, x: Tensor, pool_norm: bool, held_as: str | None = None
) -> Tensor:
    """The output of operation `name` on edge `i`; held_as: the name of its module, where it is another."""
    s, c = edges.stride, edges.c
    if name == "none":
        return 0 * x[:, :, ::s, ::s]
    op = edges.get_submodule(held_as or name)
    if name == "max_pool_3x3":
        y = F.max_pool2d(x, 3, s, 1)
        return norm(y) if pool_norm else y
    if name == "avg_pool_3x3":
        y = F.avg_pool2d(x, 3, s, 1, count_include_pad=False)
        return norm(y) if pool_norm else y
    if name == "skip_connect":
        if s == 1:
            return x
        y = F.relu(x)
        odd = F.pad(y, (0, 1, 0, 1))[:, :, 1:, 1:]
        both = [F.conv2d(y, part(op, "even", i), None, 2), F.conv2d(odd, part(op, "odd", i), None, 2)]
        return norm(torch.cat([both[0], both[1][:, :, : both[0].shape[2], : both[0].shape[3]]], 1))
    k = int(name[-1])
    y = F.relu(x)
    if name.startswith("nor"):
        return norm(F.conv2d(y, part(op, "conv", i), None, s, k // 2))
    dilation = 2 if name.startswith("dil") else 1
    y = F.conv2d(y, part(op, "depthwise", i), None, s, dilation * (k // 2), dilation, c)
    y = norm(F.conv2d(y, part(op, "project", i)))
    if name.startswith("sep"):
        y = F.conv2d(F.relu(y), part(op, "depthwise2", i), None, 1, k // 2, 1, c)
        y = norm(F.conv2d(y, part(op, "project2", i)))
    return y


def oracle(net: CellSupernet, x: Tensor, mix: Mix) -> Tensor:
    of, made = net.space, {-1: x}
    for number, (plan, piece) in enumerate(zip(net.plans, net.pieces, strict=True)):
        inputs = [made[r] for r in plan.reads]
        if isinstance(plan, Fixed):
            made[number] = piece(inputs[0])
            continue
        assert isinstance(piece, MixedCell)
        states = [b(y) for b, y in zip(piece.before, inputs, strict=True)] if plan.before else inputs
        for target in plan.wiring.nodes:
            total: Tensor | float = 0.0
            for s, t in plan.wiring.edges:
                if t == target:
                    edges, i = piece.edges[s], piece.targets[s].index(t)
                    assert isinstance(edges, Edges)
                    total = total + oracle_edge(net, edges, i, states[s], mix, of.choice(plan.kind, s, t))
            assert isinstance(total, Tensor)
            states = [*states, total]
        made[number] = torch.cat(states[2:], 1) if plan.wiring.concat else states[-1]
    return made[len(net.plans) - 1]


def oracle_edge(net: CellSupernet, edges: Edges, i: int, x: Tensor, mix: Mix, choice: int) -> Tensor:
    """With partial channels as PC-DARTS's own code does it: concatenated and shuffled on every edge."""
    k, pool_norm = net.wrapping.partial, net.space.pool_norm
    mixed, passed = x[:, : edges.c], x[:, edges.c :]
    total: Tensor | float = 0.0
    for o in mix.active[choice]:
        y = oracle_operation(edges, edges.names[o], i, mixed, pool_norm)
        total = total + mix.probs[choice][o] * y
    if net.wrapping.aux_skip:
        name = "aux_skip" if edges.stride == 2 else "skip_connect"
        skipped = oracle_operation(edges, "skip_connect", i, mixed, pool_norm, held_as=name)
        total = total + net.wrapping.aux_skip * skipped
    assert isinstance(total, Tensor)
    if k > 1:
        passed = F.max_pool2d(passed, 2, 2) if edges.stride == 2 else passed
        both = torch.cat([total, passed], 1)
        b, c, h, w = both.shape
        total = both.view(b, k, c // k, h, w).transpose(1, 2).reshape(b, c, h, w)
    return total if mix.edge_weights is None else mix.edge_weights[choice] * total


def compare(net: CellSupernet, mix: Mix, alphas: list[Tensor], x: Tensor, rtol: float, atol: float) -> None:
    ours = F.cross_entropy(net(x, mix), LABELS)
    theirs = F.cross_entropy(oracle(net, x, mix), LABELS)
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=0)
    learned = [*alphas, *net.parameters()]
    mine = torch.autograd.grad(ours, learned, retain_graph=True, allow_unused=True)
    want = torch.autograd.grad(theirs, learned, retain_graph=True, allow_unused=True)
    largest = max(float(g.abs().max()) for g in want if g is not None)
    for a, b in zip(mine, want, strict=True):
        a, b = (torch.zeros(()) if g is None else g for g in (a, b))
        torch.testing.assert_close(*torch.broadcast_tensors(a, b), rtol=rtol, atol=atol * largest)


@pytest.mark.slow
@pytest.mark.parametrize("of", [DARTS, NB201, ODD], ids=["darts", "nasbench201", "odd maps"])
@pytest.mark.parametrize("batched", [True, False])
def test_loss_and_gradients_are_those_of_the_oracle_in_float64(of: CellSpace, batched: bool) -> None:
    net = supernet(of, channels=4).double()
    net.batch_edges(batched)
    alphas, mix = softmax_mix(of, torch.float64)
    compare(net, mix, alphas, images(of, torch.float64), 1e-9, 1e-9)


def test_loss_and_alpha_gradients_are_those_of_the_oracle_in_float32() -> None:
    net = supernet(DARTS)
    alphas, mix = softmax_mix(DARTS, torch.float32)
    x = images(DARTS)
    ours = F.cross_entropy(net(x, mix), LABELS)
    again, mix = softmax_mix(DARTS, torch.float32)
    theirs = F.cross_entropy(oracle(net, x, mix), LABELS)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-4)
    mine = torch.cat(torch.autograd.grad(ours, alphas))
    want = torch.cat(torch.autograd.grad(theirs, again))
    assert float((mine - want).norm() / want.norm()) < 1e-4


WRAPPERS: list[tuple[Wrapper, ...]] = [(Partial(2),), (Partial(4), AuxSkip(0.7)), (AuxSkip(0.3),)]


@pytest.mark.slow
@pytest.mark.parametrize("wrappers", WRAPPERS, ids=str)
def test_wrapped_edges_are_those_of_the_oracle(wrappers: tuple[Wrapper, ...]) -> None:
    net = supernet(DARTS, *wrappers, channels=4).double()
    alphas, mix = softmax_mix(DARTS, torch.float64)
    betas = torch.rand(len(DARTS.choices), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    betas.requires_grad_()
    compare(net, replace(mix, edge_weights=betas), [*alphas, betas], images(DARTS, torch.float64), 1e-9, 1e-9)


@pytest.mark.slow
def test_ragged_sets_of_options_are_those_of_the_oracle() -> None:
    """Progressive methods leave each edge its own options; what is not active gets no gradient."""
    rng = np.random.default_rng(0)
    sets = [sorted(rng.choice(8, size=rng.integers(1, 5), replace=False).tolist()) for _ in DARTS.choices]
    net = supernet(DARTS, channels=4).double()
    alphas, mix = softmax_mix(DARTS, torch.float64, lambda i: sets[i])
    compare(net, mix, alphas, images(DARTS, torch.float64), 1e-9, 1e-9)
    raw = [w.detach().requires_grad_() for w in mix.probs]
    loss = F.cross_entropy(net(images(DARTS, torch.float64), replace(mix, probs=tuple(raw))), LABELS)
    loss.backward()
    for w, options in zip(raw, sets, strict=True):
        gradient = torch.zeros(8) if w.grad is None else w.grad
        assert set(torch.nonzero(gradient).flatten().tolist()) <= set(options) - {0}


@pytest.mark.slow
@pytest.mark.parametrize("of", [DARTS, NB201, ODD], ids=["darts", "nasbench201", "odd maps"])
@pytest.mark.parametrize("seed", range(3))
def test_restricted_to_an_architecture_it_is_the_built_network(of: CellSpace, seed: int) -> None:
    net = supernet(of)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)))
    arch = of.sample(np.random.default_rng(seed))
    x = images(of)
    with torch.no_grad():
        ours, built = net(x, Mix.one_hot(of.choices, arch)), net.extract(arch).train()(x)
    assert float((ours - built).abs().max()) < 1e-5
    assert float(built.std()) > 1e-3


def test_norms_that_learn_are_extracted_too() -> None:
    torch.manual_seed(0)
    net = supernets.make(DARTS, replace(DARTS.search_scale, cells=3, channels=4, affine=True))
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    arch = DARTS.sample(np.random.default_rng(0))
    x = images(DARTS)
    with torch.no_grad():
        ours, built = net(x, Mix.one_hot(DARTS.choices, arch)), net.extract(arch).train()(x)
    assert float((ours - built).abs().max()) < 1e-5


def test_a_probe_changes_nothing_but_its_weight_receives_the_gate_gradient() -> None:
    net = supernet(DARTS, channels=4).double()
    x = images(DARTS, torch.float64)
    arch = DARTS.sample(np.random.default_rng(0))
    one_hot = Mix.one_hot(DARTS.choices, arch)
    gates = [w.double().requires_grad_() for w in one_hot.probs]
    probe = tuple(tuple(k for k in range(8) if k != a) for a in arch)
    probed = Mix(tuple(gates), one_hot.active, probe)
    ours = F.cross_entropy(net(x, probed), LABELS)
    torch.testing.assert_close(ours, F.cross_entropy(net(x, one_hot), LABELS), rtol=1e-12, atol=0)
    mine = torch.autograd.grad(ours, gates, retain_graph=True)
    everything = Mix(tuple(gates), tuple(tuple(range(8)) for _ in arch), one_hot.probe)
    want = torch.autograd.grad(F.cross_entropy(net(x, everything), LABELS), gates)
    torch.testing.assert_close(torch.stack(mine), torch.stack(want), rtol=1e-9, atol=1e-12)
    weights = torch.autograd.grad(ours, list(net.parameters()), retain_graph=True, allow_unused=True)
    plain = torch.autograd.grad(
        F.cross_entropy(net(x, one_hot), LABELS), list(net.parameters()), allow_unused=True
    )
    assert [g is None for g in weights] == [g is None for g in plain]


@pytest.mark.slow
def test_it_runs_under_functional_call_and_can_be_differentiated_twice() -> None:
    """The Hessian-vector product d/da <d loss/d w, v> by double backward against central differences."""
    net = supernet(DARTS, channels=4).double()
    x = images(DARTS, torch.float64)
    alphas, mix = softmax_mix(DARTS, torch.float64)
    names = [n for n, _ in net.named_parameters()]
    weights = {n: p.detach().clone().requires_grad_() for n, p in net.named_parameters()}

    def loss(shifted: Mix) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(net, weights, (x, shifted)), LABELS)

    generator = torch.Generator().manual_seed(5)
    v = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in weights.values()]
    d_w = torch.autograd.grad(loss(mix), [weights[n] for n in names], create_graph=True)
    inner = sum(((a * b).sum() for a, b in zip(d_w, v, strict=True)), torch.zeros(()))
    found = torch.autograd.grad(inner, alphas)
    values = []
    for step in (-1e-6, 1e-6):
        moved = [a.detach().clone() for a in alphas]
        moved[5][6] += step
        shifted = replace(mix, probs=tuple(F.softmax(a, 0) for a in moved))
        d = torch.autograd.grad(loss(shifted), [weights[n] for n in names])
        values.append(float(sum((a * b).sum() for a, b in zip(d, v, strict=True))))
    assert float(found[5][6]) == pytest.approx((values[1] - values[0]) / 2e-6, rel=1e-3)


def test_scale_and_shift_of_every_norm_can_be_replaced() -> None:
    net = supernet(DARTS, channels=4)
    x = images(DARTS)
    _, mix = softmax_mix(DARTS, torch.float32)
    ones = {n: b for n, b in net.named_buffers() if n.endswith((".scale", ".weight"))}
    assert len(ones) > 50 and all(bool((b == 1).all()) for b in ones.values())
    twice = torch.func.functional_call(net, {n: 2 * b for n, b in ones.items()}, (x, mix))
    assert float((twice - net(x, mix)).detach().abs().max()) > 1e-2
    assert not [n for n, p in net.named_parameters() if n.endswith((".scale", ".shift"))]


def test_dropout_acts_after_the_identity_only_and_in_training_only() -> None:
    net = supernet(DARTS, SkipDropout(0.5), channels=4)
    x = images(DARTS)
    skip = DARTS.operations.index("skip_connect")
    _, all_but_skip = softmax_mix(DARTS, torch.float32, lambda i: [k for k in range(8) if k != skip])
    _, everything = softmax_mix(DARTS, torch.float32)
    assert torch.equal(net(x, all_but_skip), net(x, all_but_skip))
    assert not torch.equal(net(x, everything), net(x, everything))
    net.rewrap(SkipDropout(0.0))
    assert torch.equal(net(x, everything), net(x, everything))
    net.rewrap(SkipDropout(0.5))
    net.eval()
    assert torch.equal(net(x, everything), net(x, everything))


def test_drop_path_spares_the_identity() -> None:
    net = supernet(NB201, DropPath(0.5), channels=4)
    x = images(NB201)
    skip = NB201.operations.index("skip_connect")
    identity = Mix.one_hot(NB201.choices, (skip,) * 6)
    assert torch.equal(net(x, identity), net(x, identity))
    convs = Mix.one_hot(NB201.choices, (3,) * 6)
    assert not torch.equal(net(x, convs), net(x, convs))


def test_the_shuffle_is_that_of_the_paper() -> None:
    x = torch.arange(8.0).view(1, 8, 1, 1)
    assert shuffle(x, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


@pytest.mark.parametrize(
    ("wrappers", "says"),
    [
        ((Partial(16),), "1 of 16 channels of a cell with 8 cannot be taken"),
        ((Partial(3),), "choose a divisor of 8"),
        ((Partial(2), Partial(4)), "Partial is given twice"),
    ],
)
def test_bad_wrappers_get_one_clear_error(wrappers: tuple[Wrapper, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        supernet(DARTS, *wrappers)


def test_every_weight_learns_from_a_mix_of_everything() -> None:
    net = supernet(DARTS, channels=4)
    _, mix = softmax_mix(DARTS, torch.float32)
    F.cross_entropy(net(images(DARTS), mix), LABELS).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_the_parts_of_an_edge_are_what_its_operation_learns() -> None:
    """Only one edge is active: the gradient of the stacked parameters is its part."""
    net = supernet(NB201, channels=4)
    conv = NB201.operations.index("nor_conv_3x3")
    arch = (conv, 0, 1, 0, 0, 1)  # node 1 by a convolution, then identities
    net(images(NB201), Mix.one_hot(NB201.choices, arch)).sum().backward()
    parameters = dict(net.named_parameters())
    seen: dict[str, int] = {}
    for part in net.edge_rows():
        gradient = parameters[part.parameter].grad
        active = part.option == arch[part.choice]
        assert active == (gradient is not None and bool(gradient[part.rows].any()))
        seen[part.parameter] = seen.get(part.parameter, 0) + len(range(*part.rows.indices(10**6)))
    assert seen == {n: len(p) for n, p in parameters.items() if ".edges." in n}
