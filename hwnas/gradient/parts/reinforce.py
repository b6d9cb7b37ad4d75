"""REINFORCE: the policy learns from what its samples score; no gradient passes through the network.

[1] Cai et al. 2019, ProxylessNAS, 1812.00332, section 3.3.2. [2] Pham et al. 2018, ENAS, 1802.03268.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.core.mix import Mix
from hwnas.data.batches import Batch
from hwnas.gradient.step.context import ArchPass, StepContext
from hwnas.gradient.step.gradients import score, set_policy_gradients
from hwnas.gradient.step.passes import Pass, accuracy, run_mix
from hwnas.gradient.step.protocols import Policy, Score
from targets.errors import UsageError

from .hypergradient import HYPERGRADIENTS

REWARDS = ("accuracy", "loss")


class Baseline(nn.Module):
    """A moving mean: b <- decay b + (1 - decay) x, started at the first x.

    ProxylessNAS's code has the decay on the other side, which makes b the last batch's mean [1].
    """

    value: Tensor

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("value", torch.tensor(float("nan"), dtype=torch.float64))

    def update(self, x: float) -> None:
        """Move towards x."""
        b = self.value.item()
        self.value.fill_(x if b != b else self.decay * b + (1 - self.decay) * x)


@HYPERGRADIENTS.add("reinforce")
class Reinforce:
    """-mean log p(a) (R(a) - b) over `samples` architectures on one validation batch [1, 2].

    The reward R(a) is minus the objective of architecture a with its exact costs, plus `entropy` times the
    entropy of the draw. The task loss of that objective is minus the accuracy, or the loss of the
    task (`reward`). Regularisers are no part of R: they are differentiated by the policy directly.

    samples: architectures per arch step.
    decay: of the baseline b.
    reward: "accuracy" or "loss".
    entropy: weight of the entropy of the draw.
    """

    def __init__(
        self,
        supernet: nn.Module,
        policy: Policy,
        generator: torch.Generator,
        *,
        samples: int = 10,
        decay: float = 0.99,
        reward: str = "accuracy",
        entropy: float = 0.0,
    ) -> None:
        if reward not in REWARDS:
            raise UsageError(f"reinforce: unknown reward {reward!r}; known: {', '.join(REWARDS)}")
        if samples < 1 or not 0 <= decay < 1:
            raise UsageError(
                f"reinforce: samples must be at least 1 and decay in [0, 1), got {samples} and {decay}"
            )
        self.samples, self.reward, self.entropy = samples, reward, entropy
        self.own = Baseline(decay)

    @staticmethod
    def passes(
        *, samples: int = 10, decay: float = 0.99, reward: str = "accuracy", entropy: float = 0.0
    ) -> float:
        """Forward passes only, a third of a pass each."""
        return samples / 3

    @staticmethod
    def takes_rule(**_: object) -> bool:
        """Yes."""
        return True

    def arch_step(self, context: StepContext) -> ArchPass:
        """`samples` forward passes."""
        batch, passes, scores, terms = context.val(), [], [], []
        for _ in range(self.samples):
            drawn = context.draw(context.relax.arch)
            if drawn.log_prob is None or not drawn.log_prob.requires_grad:
                raise UsageError(
                    f"{context.where}: REINFORCE needs draws with a probability; relax by 'sampled'"
                )
            passes.append(self._run(context, drawn, batch))
            scores.append(score(context, self._task_loss(passes[-1]), drawn, drawn))
            bonus = 0.0 if drawn.entropy is None else self.entropy * float(drawn.entropy.detach())
            cost = (scores[-1].total - scores[-1].regularisers).detach()
            terms.append((drawn.log_prob, bonus - float(cost)))
        mean = sum(r for _, r in terms) / len(terms)
        if self.own.value.isnan():
            self.own.update(mean)
        baseline = self.own.value.item()
        total = -torch.stack([p * (r - baseline) for p, r in terms]).mean()
        extra = torch.stack([s.regularisers for s in scores]).mean()
        total = total + extra
        self.own.update(mean)
        set_policy_gradients(
            context, torch.autograd.grad(total, list(context.policy.parameters()), allow_unused=True)
        )
        costs = {m: torch.stack([s.costs[m] for s in scores]).mean() for m in scores[0].costs}
        return ArchPass(passes[-1], Score(total.detach(), costs, extra.detach()))

    def weight_step(self, context: StepContext) -> Pass:
        """By the weight rule of the method."""
        return context.weight_rule(context)

    def _task_loss(self, forward: Pass) -> Tensor:
        return (-forward.accuracy if self.reward == "accuracy" else forward.loss).cpu()

    @staticmethod
    @torch.no_grad()
    def _run(context: StepContext, drawn: Mix, batch: Batch) -> Pass:
        x, y = batch
        outputs = run_mix(context.supernet, drawn, x)
        return Pass(drawn, context.task.loss(outputs, y), accuracy(outputs, y, context.task))
