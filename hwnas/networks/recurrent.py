"""The recurrent cell of DARTS as torch modules, and the network of a text around it (`recurrent_blocks`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .recurrent_blocks import RecurrentBlock
from .signature import LOGITS, NEXT_STATE, STATE, Signature

TOKEN = "token"

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}
"""`f` of a node by its name."""


def highway(before: Tensor, product: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`before + sigmoid(c) (f(h) - before)`. before: (b, w); product: (b, 2 w), c and h side by side."""
    c, h = product.chunk(2, dim=1)
    return before + torch.sigmoid(c) * (function(h) - before)


class Embed(nn.Module):
    """Numbers of symbols, (b,), to (b, w)."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(n, width)

    def forward(self, token: Tensor) -> Tensor:
        """Rows of the table."""
        return cast(Tensor, self.table(token))

    def signature(self, batch: int) -> Signature:
        """Of its file."""
        highest = {TOKEN: self.table.num_embeddings - 1}
        return Signature({TOKEN: torch.zeros(batch, dtype=torch.int64)}, ("row",), highest)

    def example(self, batch: int) -> Tensor:
        """Symbols."""
        return torch.zeros(batch, dtype=torch.int64)


class First(nn.Module):
    """The node that reads symbol and state, (b, w) each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.product = nn.Linear(2 * width, 2 * width, bias=False)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """`s + sigmoid(c) (tanh(h) - s)` of the state, (b, w)."""
        return highway(state, self.product(torch.cat((x, state), dim=1)), torch.tanh)

    def signature(self, batch: int) -> Signature:
        """Of its file."""
        zeros = self.example(batch)
        return Signature({"x": zeros, STATE: zeros.clone()}, ("node",))

    def example(self, batch: int) -> Tensor:
        """One of its two inputs."""
        return torch.zeros(batch, self.product.in_features // 2)


class Node(nn.Module):
    """A node that reads an earlier one, (b, w)."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.product = nn.Linear(width, 2 * width, bias=False)
        self.function = FUNCTIONS[activation]

    def forward(self, before: Tensor) -> Tensor:
        """(b, w)."""
        return highway(before, self.product(before), self.function)

    def signature(self, batch: int) -> Signature:
        """Of its file."""
        return Signature({"node": self.example(batch)}, ("next_node",))

    def example(self, batch: int) -> Tensor:
        """What it reads."""
        return torch.zeros(batch, self.product.in_features)


class Mean(nn.Module):
    """The mean of n nodes, (b, w) each."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.n, self.width = n, width

    def forward(self, *nodes: Tensor) -> Tensor:
        """(b, w)."""
        total = nodes[0]
        for node in nodes[1:]:
            total = total + node
        return total * (1 / self.n)

    def signature(self, batch: int) -> Signature:
        """Of its file."""
        return Signature({f"node{i}": self.example(batch) for i in range(self.n)}, (NEXT_STATE,))

    def example(self, batch: int) -> Tensor:
        """One node."""
        return torch.zeros(batch, self.width)


class Decode(nn.Module):
    """The state, (b, w), to scores of the next symbol, (b, n)."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, n)

    def forward(self, state: Tensor) -> Tensor:
        """Logits."""
        return cast(Tensor, self.linear(state))

    def signature(self, batch: int) -> Signature:
        """Of its file."""
        return Signature({STATE: self.example(batch)}, (LOGITS,))

    def example(self, batch: int) -> Tensor:
        """The state."""
        return torch.zeros(batch, self.linear.in_features)


def recurrent_module(block: RecurrentBlock) -> nn.Module:
    """The block with fresh weights."""
    make: dict[str, Callable[[], nn.Module]] = {
        "embed": lambda: Embed(block.n, block.width),
        "first": lambda: First(block.width),
        "mean": lambda: Mean(block.n, block.width),
        "decode": lambda: Decode(block.n, block.width),
    }
    return make.get(block.kind, lambda: Node(block.width, block.kind))()


class RecurrentNetwork(nn.Module):
    """Texts (b, l) of symbol numbers to scores of the next symbols (b, l, n), from a state of zeros.

    Called with one symbol each, (b,), and a state (b, w), as its file is, it gives scores (b, n) and the
    state after them.
    """

    def __init__(self, blocks: Sequence[RecurrentBlock], sources: Sequence[int], length: int) -> None:
        """From its parts.

        blocks: embed, first, the nodes, mean, decode.
        sources: per node which earlier one it reads; 0 is the first.
        length: symbols that it is trained on at a time.
        """
        super().__init__()
        embed, first, *nodes, mean, decode = blocks
        self.width, self.length, self.sources = first.width, length, tuple(sources)
        self.embed, self.first = recurrent_module(embed), recurrent_module(first)
        self.nodes = nn.ModuleList(recurrent_module(node) for node in nodes)
        self.mean, self.decode = recurrent_module(mean), recurrent_module(decode)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Scores of a text, or scores and state of one symbol."""
        if state is not None:
            state = self.cell(self.embed(tokens), state)
            return self.decode(state), state
        embedded = self.embed(tokens)
        state = embedded.new_zeros(len(tokens), self.width)
        states = []
        for x in embedded.unbind(1):
            state = self.cell(x, state)
            states.append(state)
        return cast(Tensor, self.decode(torch.stack(states, dim=1)))

    def cell(self, x: Tensor, state: Tensor) -> Tensor:
        """The state after a symbol. x, state: (b, w)."""
        nodes = [cast(Tensor, self.first(x, state))]
        for node, source in zip(self.nodes, self.sources, strict=True):
            nodes.append(node(nodes[source]))
        return cast(Tensor, self.mean(*nodes[1:]))

    def signature(self, batch: int) -> Signature:
        """Of its file: a symbol and a state in, scores and the next state out."""
        tokens, state = torch.zeros(batch, dtype=torch.int64), torch.zeros(batch, self.width)
        highest = cast(Embed, self.embed).signature(batch).highest
        return Signature({TOKEN: tokens, STATE: state}, (LOGITS, NEXT_STATE), highest)

    def example(self, batch: int) -> Tensor:
        """Texts."""
        return torch.zeros(batch, self.length, dtype=torch.int64)
