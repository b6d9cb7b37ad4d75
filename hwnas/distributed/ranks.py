"""One training that several processes do together: which of them this is, and what they sum up.

Each process takes its share of every batch; their gradients are averaged, so that all make the step that one
process would make with the whole batch. `ALONE` is a training of one process, which sums nothing up.

`torch.distributed` talks between them: gloo on CPUs, NCCL on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SMALL_SHARE = 32
"""Samples of a process below which the statistics of batch norms are those of the whole batch."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a training.

    rank: of this one, from 0. world: how many there are. device: of the tensors that are summed up.
    """

    rank: int = 0
    world: int = 1
    device: str | torch.device = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and scores."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """The place of this process, and the number of all."""
        return self.rank, self.world

    def seed(self, *numbers: int) -> list[int]:
        """Numbers of a seed of what is drawn in this process alone; those of one process are as they are."""
        return [*numbers, self.rank] if self.world > 1 else [*numbers]

    def sums(self, *values: float) -> tuple[float, ...]:
        """Each value summed over all processes."""
        if self.world == 1:
            return values
        import torch

        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        _all_reduce(total)
        return tuple(total.tolist())

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes; NaN anywhere is NaN everywhere, so that all stop together."""
        if self.world == 1:
            return value
        total = value.clone()
        _all_reduce(total)
        return total / self.world

    def of_first(self, compute: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """What the first process computes, in all of them."""
        if self.world == 1:
            return compute()
        values = compute() if self.is_first else ()
        (n,) = self.sums(float(len(values)))
        return self.sums(*(values or (0.0,) * int(n)))

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """The mean of the gradients. None stays None where no process has one, so that nothing is decayed."""
        if self.world == 1:
            return
        import torch

        learned = [p for p in parameters if p.requires_grad]
        present = torch.tensor([float(p.grad is not None) for p in learned], device=self.device)
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in learned]
        flat = torch.cat([*parts, present])
        _all_reduce(flat)
        flat, present = flat[: -len(learned)] / self.world, flat[-len(learned) :]
        place = 0
        for parameter, n_with in zip(learned, present.tolist(), strict=True):
            gradient = flat[place : place + parameter.numel()].view_as(parameter)
            if n_with:  # in the strides of the parameter, as autograd leaves gradients
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
            place += parameter.numel()

    def average_statistics(self, module: nn.Module) -> None:
        """The mean of what norms have seen, so that it is of all samples."""
        if self.world == 1:
            return
        for buffer in module.buffers():
            if buffer.is_floating_point():
                _all_reduce(buffer)
                buffer /= self.world


ALONE = Ranks()


def _all_reduce(tensor: Tensor) -> None:
    import torch.distributed

    torch.distributed.all_reduce(tensor)
