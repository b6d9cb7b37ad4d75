"""The LSTM controller of ENAS: it decides choice by choice, each conditioned on those before.

[1] Pham et al. 2018, ENAS, 1802.03268, section 2, and its code (temperatures and biases).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import NONE, Choice
from hwnas.core.mix import Mix
from hwnas.core.node import CellNode, nodes_of, none_of
from hwnas.gradient.step.active_options import ActiveOptions, all_options
from hwnas.gradient.step.nodes import real_options
from hwnas.gradient.step.protocols import Relax, RelaxContext
from targets.errors import UsageError

from .policy import POLICIES
from .relax import RELAXATIONS, single

_INIT = 0.1
_SOFT_SAMPLES = 32
"""Draws whose mean estimates the option probabilities, which have no closed form."""

_PRIOR = "sep_conv"
"""The published biases favour the operations whose names begin with this."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Choices that are decided together: one operation, the edges of a node, or on/off flags.

    choices: their indices.
    keep: for the edges of a node, how many of them are kept; else 0.
    flags: whether they are on/off flags.
    new_cell: whether they are the first of a cell.
    """

    choices: tuple[int, ...]
    keep: int = 0
    flags: bool = False
    new_cell: bool = False


@POLICIES.add("controller")
class Controller(nn.Module):
    """An LSTM with attention over the nodes before; its weights stand in the place of DARTS's alphas [1].

    The edges of a node are drawn by attention, without replacement (published: with), then an operation for
    each. Consecutive choices between `none` and one other option are flags, such as the skips of the macro
    space: the j-th attends to the j-th decision before. Any other choice is a softmax.

    hidden: size of the state, the embeddings and the keys.
    tanh: a logit a becomes tanh * tanh(a).
    op_reduce: divides the logits of operations.
    temperature: divides all logits.
    bias: the published start in favour of separable convolutions, which is learned.
    fixed: the same as a constant that is added to their logits and subtracted from the others'.
    """

    reach = 0.0

    def __init__(
        self,
        choices: Sequence[Choice],
        generator: torch.Generator,
        *,
        hidden: int = 64,
        tanh: float = 1.1,
        op_reduce: float = 2.5,
        temperature: float = 1.0,
        bias: float = 0.0,
        fixed: float = 0.0,
    ) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.scales = (tanh / temperature, tanh / op_reduce / temperature)
        self.cell = nn.LSTMCell(hidden, hidden)
        self.start = nn.Parameter(torch.empty(hidden))
        self.key, self.query = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.attention = nn.Parameter(torch.empty(hidden))
        option_lists = dict.fromkeys(c.options for c in self.choices)
        self._head = {options: i for i, options in enumerate(option_lists)}
        self.heads = nn.ParameterList(torch.empty(len(options), hidden) for options in option_lists)
        self.embeddings = nn.ParameterList(torch.empty(len(options), hidden) for options in option_lists)
        with torch.no_grad():
            for p in self.parameters():
                p.uniform_(-_INIT, _INIT, generator=generator)
        favoured = [torch.tensor([o.startswith(_PRIOR) for o in options]).float() for options in option_lists]
        self.biases = nn.ParameterList(bias * f for f in favoured)
        self._fixed = [fixed * (2 * f - 1) if bool(f.any()) else torch.zeros_like(f) for f in favoured]
        self._plan = list(decisions_of(self.choices))
        self.restrict(all_options(choices))

    def restrict(self, active: ActiveOptions) -> None:
        """From now on draw among these options only."""
        self.active = active

    def meet_devices(self, features: Tensor) -> None:
        """One policy for all devices."""

    def free_logits(self) -> tuple[Tensor, ...]:
        """None, because the logits of a choice depend on the decisions before it."""
        return ()

    def draw(self, relax: Relax, context: RelaxContext) -> Mix:
        """An architecture, every decision drawn by `relax`; with its log-probability and entropy."""
        rollout = _Rollout(self, relax, context)
        arch = rollout.run()
        mix = single([torch.zeros(len(c.options)) for c in self.choices], arch, rollout.log_prob)
        return replace(mix, entropy=rollout.entropy, draw_probs=tuple(rollout.draw_probs))

    @torch.no_grad()
    def soft_mix(self) -> Mix:
        """The mean of 32 draws of a fixed seed, without gradient."""
        context = RelaxContext(self.choices, torch.Generator().manual_seed(0))
        drawn = [self.draw(RELAXATIONS["sampled"], context) for _ in range(_SOFT_SAMPLES)]
        probs = tuple(torch.stack(p).mean(0) for p in zip(*(m.probs for m in drawn), strict=True))
        entropy = torch.stack([m.entropy for m in drawn if m.entropy is not None]).mean()
        return Mix(probs, active=self.active, probe=tuple(() for _ in probs), entropy=entropy)

    def after_step(self, mix: Mix) -> None:
        """Nothing."""

    def head(self, choice: int) -> int:
        """The number of the head that decides among the options of a choice."""
        return self._head[self.choices[choice].options]


class _Rollout:
    """One pass of the controller: the decisions in order, each fed the embedding of the one before.

    arch: the options so far.
    log_prob, entropy: sums over the decisions, scalars.
    draw_probs: (n_options,) per choice, what each option was drawn with.
    state: hidden and cell state of the LSTM, (1, hidden) each.
    input: of the next LSTM step, (hidden,).
    anchors: the hidden state (hidden,) of every node or layer so far, which attention looks at.
    """

    def __init__(self, owner: Controller, relax: Relax, context: RelaxContext) -> None:
        self.owner, self.relax, self.context = owner, relax, context
        self.log_prob = torch.zeros(())
        self.entropy = torch.zeros(())
        self.arch = [0] * len(owner.choices)
        self.draw_probs = [torch.zeros(len(c.options)) for c in owner.choices]
        zero = torch.zeros(1, owner.start.shape[0])
        self.state = (zero, zero)
        self.input: Tensor = owner.start
        self.anchors: list[Tensor] = []

    def run(self) -> tuple[int, ...]:
        for decision in self.owner._plan:
            if decision.new_cell:
                self.anchors = []
            if decision.keep:
                self._node(decision)
            elif decision.flags:
                self._flags(decision)
            else:
                self._operation(decision.choices[0])
                self.anchors.append(self.state[0][0])
        return tuple(self.arch)

    def _tick(self) -> Tensor:
        self.state = self.owner.cell(self.input[None], self.state)
        return self.state[0][0]

    def _scores(self, h: Tensor, anchors: Sequence[Tensor]) -> Tensor:
        keys = self.owner.key(torch.stack(list(anchors)))
        scores: Tensor = torch.tanh(keys + self.owner.query(h)) @ self.owner.attention
        return scores

    def _node(self, decision: Decision) -> None:
        while len(self.anchors) < len(decision.choices):  # the inputs of the cell
            self.input = self.owner.start
            self.anchors.append(self._tick())
        free, kept = list(range(len(decision.choices))), []
        for _ in range(decision.keep):
            h = self._tick()
            scores = self._scores(h, [self.anchors[i] for i in free])
            picked = free[self._decide(self.owner.scales[0] * torch.tanh(scores))]
            free.remove(picked)
            kept.append(picked)
            self.input = self.anchors[picked]
        for i, c in enumerate(decision.choices):
            self.arch[c] = none_of(self.owner.choices[c])
            if i in kept:
                self._operation(c, real_options(self.owner.choices[c]))
        self.input = self.owner.start
        self.anchors.append(self._tick())

    def _flags(self, decision: Decision) -> None:
        h, before, zero = self._tick(), self.anchors[:-1], torch.zeros_like(self.owner.start)
        while len(before) < len(decision.choices):
            before = [zero, *before]
        before = before[len(before) - len(decision.choices) :]
        logits = self.owner.scales[0] * torch.tanh(self._scores(h, before))
        on = []
        for c, anchor, logit in zip(decision.choices, before, logits, strict=True):
            none, active = none_of(self.owner.choices[c]), self.owner.active[c]
            signed = torch.stack([logit, -logit] if none else [-logit, logit])
            self.arch[c] = self._draw_from(c, active, signed)
            on += [anchor] if self.arch[c] != none else []
        self.input = torch.stack(on).mean(0) if on else self.owner.start

    def _operation(self, c: int, among: tuple[int, ...] | None = None) -> None:
        owner, head = self.owner, self.owner.head(c)
        options = [i for i in owner.active[c] if among is None or i in among]
        logits = owner.heads[head] @ self._tick() + owner.biases[head]
        logits = owner.scales[1] * torch.tanh(logits) + owner._fixed[head]
        self.arch[c] = self._draw_from(c, options, logits)
        self.input = owner.embeddings[head][self.arch[c]]

    def _draw_from(self, c: int, options: Sequence[int], logits: Tensor) -> int:
        """One of `options` of a choice, by logits (n_options,) of all its options."""
        logits = logits[list(options)]
        self.draw_probs[c] = self.draw_probs[c].index_put((torch.tensor(options),), logits.softmax(0))
        return options[self._decide(logits)]

    def _decide(self, logits: Tensor) -> int:
        names = Choice("decision", tuple(str(i) for i in range(len(logits))))
        mix = self.relax((logits,), replace(self.context, choices=(names,), edge_weights=None))
        if mix.arch is None:
            raise UsageError("the controller draws architectures; relax by 'sampled', 'hard' or 'uniform'")
        logs = F.log_softmax(logits, dim=0)
        self.log_prob = self.log_prob + logs[mix.arch[0]]
        self.entropy = self.entropy - (logs.exp() * logs).sum()
        return mix.arch[0]


def decisions_of(choices: tuple[Choice, ...]) -> Iterator[Decision]:
    """The decisions in order."""
    node_of_edge: dict[int, CellNode] = {e: node for node in nodes_of(choices) for e in node.edges}
    cell = None

    def kind(i: int) -> str:
        if i in node_of_edge:
            return f"node {choices[i].node}"
        flag = len(choices[i].options) == 2 and NONE in choices[i].options
        return f"flags {_cell(choices[i])}" if flag else f"choice {i}"

    for name, group in itertools.groupby(range(len(choices)), key=kind):
        members = tuple(group)
        new = choices[members[0]].name.split(".")[0] != cell and name.startswith("node")
        cell = choices[members[0]].name.split(".")[0]
        keep = node_of_edge[members[0]].keep if members[0] in node_of_edge else 0
        yield Decision(members, keep=keep, flags=name.startswith("flags"), new_cell=new)


def _cell(choice: Choice) -> str:
    return choice.node or choice.name.split(".")[0]
