"""A gradient search on the toy cells that is watched from outside: what ran, when, with which weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.registry import bound
from hwnas.core.space import Space
from hwnas.gradient.loop import LogRow
from hwnas.gradient.method import Method
from hwnas.gradient.parts.decoders import DECODERS, Decoding
from hwnas.gradient.parts.reinforce import Baseline
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage import Stage
from hwnas.gradient.step.context import ArchPass
from hwnas.gradient.step.passes import Pass
from hwnas.gradient.step.protocols import PolicyView, RelaxContext
from hwnas.networks.wrappers import Wrapping
from tests.support.toy import ToyBatches
from tests.support.toy_cell import OPERATIONS, ToyCellSpace, ToyCellSupernet, cell_costs, toy_cells


@dataclass
class Call:
    """One pass of the supernet. kind: train, val, forward (val without gradient) or epoch.

    logits: of the policy at that step.
    """

    kind: str
    mix: Mix
    logits: list[Tensor]
    weights: Tensor
    norms: Tensor
    classify: Tensor
    wrapping: Wrapping
    cells: int
    loss: float


@dataclass
class Step:
    """logits, after: of the policy before and after the step."""

    relax_context: RelaxContext
    logits: list[Tensor]
    calls: list[Call] = field(default_factory=list)
    epoch: list[Call] = field(default_factory=list)
    after: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    moved: bool = False
    arch: ArchPass | None = None
    view: PolicyView | None = None
    baseline: float = 0.0
    mean_reward: float = 0.0

    def of(self, kind: str) -> list[Call]:
        """Calls of a kind; `train-last`: the last training pass alone."""
        if kind == "epoch":
            return self.epoch
        found = [c for c in self.calls if c.kind == kind.removesuffix("-last")]
        return found[-1:] if kind.endswith("-last") else found


class _Watched(GradientSearch):
    steps: list[Step]
    in_epoch = False

    def one_step(self, step: int) -> Pass | None:
        with self._seeded(step):
            self.enter(self.timetable.at(step))
        logits = [a.detach().clone() for a in all_logits(self)]
        own = [p.detach().clone() for p in self.policy.parameters()]
        self.steps.append(Step(self.step_context(step).relax_context, logits))
        found = super().one_step(step)
        now = self.steps[-1]
        now.after = [a.detach().clone() for a in all_logits(self)]
        now.moved = any(not torch.equal(a, b) for a, b in zip(own, self.policy.parameters(), strict=True))
        if isinstance(self.hypergradient.own, Baseline):
            now.baseline = float(self.hypergradient.own.value)
        return found

    def step_policy(self, arch: ArchPass) -> None:
        now = self.steps[-1]
        now.arch = arch
        now.gradients = [p.grad.clone() for p in self.policy.parameters() if p.grad is not None]
        now.mean_reward = float(np.mean([c.loss for c in now.of("forward")] or [0]))
        logits = tuple(a.detach().clone() for a in self.policy.free_logits())
        now.view = PolicyView(
            drawn=arch.forward.mix,
            soft=self.policy.soft_mix(),
            logits=logits,
            choices=self.space.choices,
            progress=now.relax_context.progress,
        )
        super().step_policy(arch)

    def end_epoch(self, step: int) -> LogRow:
        self.in_epoch = True
        row = super().end_epoch(step)
        self.in_epoch = False
        return row


def all_logits(search: GradientSearch) -> list[Tensor]:
    """Of every option, whether left or not; none for a controller."""
    logits = getattr(search.policy, "logits", ())
    return list(logits)


class Ran:
    """Four steps per stage of a row."""

    def __init__(self, method: Method) -> None:
        self.method, self.space = method, ToyCellSpace()
        self.choices = self.space.choices
        # A draw of the controller takes longer than a pass of the supernet.
        n = (2 if method.policy.name == "controller" else 4) * len(method.stages)
        settings = SearchSettings(steps=n, epoch_steps=max(2, n // 2), seed=3, arch_lr=0.05)
        self._train, self._val = ToyBatches(1), ToyBatches(2)
        self._made: list[ToyCellSupernet] = []
        self._current: list[_Watched] = []
        search = _Watched(
            self.space,
            self._make,
            cell_costs(self.space),
            [],
            method,
            self._train,
            self._val,
            settings,
        )
        search.steps = []
        self._current.append(search)
        self.classify_after: list[Tensor] = []
        search.run(on_step=lambda step: self.classify_after.append(self._made[-1].classify.weight.clone()))
        self.steps, self.policy, self.callbacks = search.steps, search.policy, search.callbacks
        self.learning = [s for s in self.steps if s.arch is not None]
        self.search, self.nets = search, self._made

    def decode(self, view: Decoding) -> Arch:
        """What the row's decoder makes of a view."""
        arch: Arch = bound(DECODERS, self.method.decode)(view)
        return arch

    def _make(self, stage: Stage) -> nn.Module:
        net = toy_cells(stage)
        net.register_forward_hook(self._record)
        self._made.append(net)
        return net

    def _record(self, net: nn.Module, inputs: Any, logits: Tensor) -> None:
        assert isinstance(net, ToyCellSupernet)
        if not self._current:
            return
        search = self._current[-1]
        x, mix = inputs
        step = len(search.steps) - 1
        x_train, y_train = self._train.at(step)
        y_val = self._val.at(step)[1]
        training = torch.equal(x, x_train)
        y = y_train if training else y_val
        kind = "train" if training else "val" if logits.requires_grad else "forward"
        right = (logits.detach().argmax(1) == y).float().mean()
        loss = nn.functional.cross_entropy(logits.detach(), y)
        call = Call(
            kind="epoch" if search.in_epoch else kind,
            mix=mix,
            logits=[a.detach().clone() for a in all_logits(search)],
            weights=torch.cat([p.detach().flatten().clone() for p in net.parameters()]),
            norms=torch.cat([b.detach().clone() for n, b in net.named_buffers() if n.endswith("weight")]),
            classify=net.classify.weight.detach().clone(),
            wrapping=net.wrapping,
            cells=len(net.cells),
            loss=float(right if kind == "forward" else loss),
        )
        (search.steps[-1].epoch if search.in_epoch else search.steps[-1].calls).append(call)


def none_first(space: Space, option: str) -> Arch:
    """Of each node the last two edges have `option`, the others none."""
    last = {c.node: [i for i, d in enumerate(space.choices) if d.node == c.node][-2:] for c in space.choices}
    kept = {e for edges in last.values() for e in edges}
    return tuple(OPERATIONS.index(option) if i in kept else 0 for i in range(len(space.choices)))


def craft(space: Space, best: str = "sep_conv", drawn: str = "weak") -> Decoding:
    """Scores that prefer `best` on the last two edges of each node; every draw has `drawn` there."""
    wanted = none_first(space, best)
    scores = []
    for i in wanted:
        p = np.full(len(OPERATIONS), 0.1)
        p[OPERATIONS.index(best)] = 0.7 if i else 0.4
        scores.append(np.log(p))
        scores[-1][0] = 0.0
    soft = Mix(
        tuple(torch.from_numpy(np.exp(s)).float() for s in scores),
        tuple(tuple(range(len(s))) for s in scores),
        tuple(() for _ in scores),
    )
    return Decoding(
        space=space,
        scores=scores,
        soft=soft,
        sample=lambda: none_first(space, drawn),
        loss=lambda mix: 0.0,
        tune=lambda mix, share: None,
        rng=np.random.default_rng(0),
    )


def hurtful_decoding(space: Space) -> tuple[Decoding, Arch]:
    """Logits say `sep_conv`; the loss, that `skip_connect` on a node's first two edges is missed most."""
    first = {c.node: [i for i, d in enumerate(space.choices) if d.node == c.node][:2] for c in space.choices}
    kept = {e for edges in first.values() for e in edges}
    skip = OPERATIONS.index("skip_connect")
    wanted = tuple(skip if i in kept else 0 for i in range(len(space.choices)))
    worth = [2.0 if i in kept else 1.0 for i in range(len(space.choices))]

    def loss(mix: Mix) -> float:
        return -sum(w * float(m[skip] > 0) for w, m in zip(worth, mix.probs, strict=True))

    view = craft(space)
    return replace(view, loss=loss), wanted
