"""The supernet of the recurrent space: every node mixes the earlier nodes and activations that it may read.

As in DARTS's search of its recurrent cell [1]: a node has one matrix for all edges into it and all
activations, and is the sum of `s + sigmoid(c) (f(h) - s)` times the probability of each. Left out are the
norms of that search, which the deployed cell does not have. A width is the first numbers of the widest state.

[1] Liu et al. 2019, 1806.09055, section 3.2, and the code of the authors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import NONE, Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import Scale
from hwnas.networks.recurrent import FUNCTIONS, highway
from hwnas.networks.wrappers import Wrapper
from hwnas.spaces.recurrent import RecurrentSpace

from .supernet import Supernet, make, refuse_wrappers
from .widths import running_width


@dataclass(frozen=True, slots=True)
class _Term:
    """One activation of a node: of which earlier nodes it runs, and times what, (n, 1, 1)."""

    name: str
    sources: tuple[int, ...]
    gains: Tensor
    probing: bool


class RecurrentSupernet(Supernet):
    """Shared weights of a `RecurrentSpace`; see the module's docstring."""

    def __init__(self, space: RecurrentSpace) -> None:
        """Fresh weights from torch's global generator."""
        super().__init__()
        self.space = space
        activation = next(name for name in space.operations if name != NONE)  # it has no weights
        width = space.widths.index(max(space.widths))
        self.widest = space.build(space.arch_of([(activation, 0)] * space.n_nodes, width))

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """x: texts (b, l) of symbol numbers; returns scores of the next symbols (b, l, n)."""
        widest = self.widest
        width, factor = running_width(self.space.widths, 0, mix, x.device)
        terms = self._terms(mix)
        first = _product(_weight(widest.first, "product"), width)
        products = [_product(_weight(node, "product"), width) for node in widest.nodes]
        embedded = F.embedding(x, _weight(widest.embed, "table")[:, :width])
        state, states = embedded.new_zeros(len(x), width), []
        for symbol in embedded.unbind(1):
            before = highway(state, F.linear(torch.cat((symbol, state), dim=1), first), torch.tanh)
            nodes = [before if factor is None else before * factor]
            for product, of_node in zip(products, terms, strict=True):
                node = _node(nodes, product, of_node)
                nodes.append(node if factor is None else node * factor)
            state = torch.stack(nodes[1:]).mean(0)
            states.append(state)
        decode, bias = _weight(widest.decode, "linear"), widest.decode.get_submodule("linear").bias
        return F.linear(torch.stack(states, dim=1), decode[:, :width], cast(Tensor, bias))

    def _terms(self, mix: Mix) -> list[list[_Term]]:
        """What runs in each node."""
        probs = mix.scaled_probs
        edges: list[list[tuple[int, int]]] = [[] for _ in range(self.space.n_nodes)]
        for choice, (source, target) in enumerate(self.space.edges, 1):
            edges[target - 1].append((source, choice))
        terms: list[list[_Term]] = []
        for into in edges:
            terms.append([])
            for probing, running in ((False, mix.active), (True, mix.probe)):
                for k, name in enumerate(self.space.operations):
                    users = [(source, choice) for source, choice in into if k in running[choice]]
                    if users and name != NONE:
                        gains = torch.stack([probs[choice][k] for _, choice in users])[:, None, None]
                        terms[-1].append(_Term(name, tuple(s for s, _ in users), gains, probing))
        return terms

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """The deployed network of `arch` with a copy of the shared weights."""
        with torch.random.fork_rng(devices=[]):
            net = self.space.build(arch)
        for (name, own), shared in zip(net.named_parameters(), self.widest.parameters(), strict=True):
            if "product" in name:
                own.copy_(_product(shared, net.width))
            else:
                own.copy_(shared[tuple(map(slice, own.shape))])
        return net.to(next(self.parameters()).device)


def _weight(module: nn.Module, name: str) -> Tensor:
    """Of a layer: an attribute, for `functional_call` may replace it."""
    return cast(Tensor, module.get_submodule(name).weight)


def _product(weight: Tensor, width: int) -> Tensor:
    """The matrix of c and h at a narrower width, from (2 W, k W) of k inputs to (2 w, k w)."""
    widest = len(weight) // 2
    return weight.view(2, widest, -1, widest)[:, :width, :, :width].reshape(2 * width, -1)


def _node(nodes: Sequence[Tensor], product: Tensor, terms: Sequence[_Term]) -> Tensor:
    """The sum of its terms, (b, w). Activations of the same earlier nodes share one product."""
    total = torch.zeros_like(nodes[0])
    known: dict[tuple[tuple[int, ...], bool], tuple[Tensor, Tensor]] = {}
    for term in terms:
        place = (term.sources, term.probing)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not term.probing):
            if place not in known:
                before = torch.cat([nodes[source] for source in term.sources])
                known[place] = before, F.linear(before, product)
            y = highway(*known[place], FUNCTIONS[term.name])
        total = total + (y.view(len(term.sources), *total.shape) * term.gains).sum(0)
    return total


@make.register
def make_recurrent(
    space: RecurrentSpace, scale: Scale | None = None, *wrappers: Wrapper
) -> RecurrentSupernet:
    """The supernet of `space`, which is searched at the scale it is deployed at."""
    refuse_wrappers(space, wrappers)
    return RecurrentSupernet(space)
