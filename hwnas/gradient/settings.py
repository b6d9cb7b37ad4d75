"""The settings of a gradient search."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwnas.core.registry import Part
from targets.errors import UsageError

from .step.optim import SGDSettings


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a user may set; None takes the method's own.

    steps: weight steps.
    epoch_steps: weight steps per row of the log.
    seed: of the policy, of the draws and of the layers that draw.
    weight_lr: learning rate of the weights; None: as published.
    arch_every: weight steps per arch step; None: as published, or less (`timetable.ENOUGH`).
    arch_lr: learning rate of the policy; None: as published, or what the policy's `reach` needs, if more.
    objective: how costs enter; None: as the method has it.
    ranked: sampled architectures that compete with the decoded one on validation batches (ENAS's decode);
        0: only the method's own decode. Under a tight budget the most probable architecture of a policy that
        is still spread lies far below the budget: 0.43 of 0.72 ms after 100 steps, with a loss of 0.26 where
        the best of 24 samples had 0.19.
    bf16: convolutions in bfloat16, on CUDA.
    compile: cells through torch.compile (`speed`).
    graphs: steps as CUDA graphs, where they can be (`recording`).
    """

    steps: int
    epoch_steps: int
    seed: int
    weight_lr: float | None = None
    arch_lr: float | None = None
    arch_every: int | None = None
    objective: Part | None = None
    ranked: int = 24
    bf16: bool = False
    compile: bool = False
    graphs: bool = True

    def __post_init__(self) -> None:
        if self.arch_every is not None and self.arch_every < 1:
            raise UsageError(
                f"arch_every must be at least 1 weight step per arch step, got {self.arch_every}"
            )

    def sgd(self, published: SGDSettings, factor: float = 1.0) -> SGDSettings:
        """The optimiser of the weights at the published or the user's rate, times the factor of a stage."""
        lr = published.lr if self.weight_lr is None else self.weight_lr
        return replace(published, lr=factor * lr, min_lr=factor * min(published.min_lr, lr))
