"""The settings of the two optimisers, the optimiser of the weights, and optimiser state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from hwnas.core.number import Number
from targets.errors import UsageError


class DivergedError(UsageError):
    """A training loss is NaN or infinite."""


@dataclass(frozen=True, slots=True)
class SGDSettings:
    """SGD whose learning rate follows a cosine from `lr` to `min_lr` over all steps.

    lr, min_lr: the learning rate at the first and after the last step.
    momentum: in [0, 1).
    nesterov: whether the momentum is Nesterov's.
    weight_decay: the factor of the weights that is added to their gradients.
    clip: the largest L2 norm of the gradient; None: any.
    cycles: cosines one after the other, each twice as long as the one before (SGDR, 1608.03983).
    """

    lr: float
    min_lr: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 4e-5
    clip: float | None = 5.0
    cycles: int = 1

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise UsageError(f"the learning rate must have at least one cycle, got {self.cycles}")
        _require_rate(self.lr)
        _require_share("momentum", self.momentum)
        if self.nesterov and not self.momentum:
            raise UsageError("nesterov needs a momentum above 0; set nesterov = false, or give one")
        for name in ("min_lr", "weight_decay"):
            _require_from_0(name, getattr(self, name))
        if self.clip is not None and not (self.clip > 0 and math.isfinite(self.clip)):
            raise UsageError(f"clip must be finite and above 0, or None for no bound, got {self.clip!r}")


@dataclass(frozen=True, slots=True)
class AdamSettings:
    """Adam on the parameters of a policy; clip: the largest L2 norm of the gradient, 0: any."""

    lr: float
    betas: tuple[float, float]
    weight_decay: float
    clip: float = 0.0

    def __post_init__(self) -> None:
        _require_rate(self.lr)
        for beta in self.betas:
            _require_share("betas", beta)
        for name in ("weight_decay", "clip"):
            _require_from_0(name, getattr(self, name))


def _require_rate(lr: float) -> None:
    if not (lr > 0 and math.isfinite(lr)):
        raise UsageError(f"the learning rate must be finite and above 0, got {lr!r}")


def _require_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"{name} must be in [0, 1), got {value!r}")


def _require_from_0(name: str, value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise UsageError(f"{name} must be finite and at least 0, got {value!r}")


TensorRows = tuple[nn.Parameter, slice]
"""Some rows of a tensor."""


class WeightOptimizer:
    """SGD whose learning rate is a function of the step alone, so that a resume needs no scheduler.

    parameters: the weights of the supernet.
    own: what a hypergradient learns beside them.
    still: rows of the weights that no step changes.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        settings: SGDSettings,
        total_steps: int,
        *,
        own: Iterable[nn.Parameter] = (),
        first_step: int = 0,
        fused: bool = False,
    ) -> None:
        """Own: clipped apart from the weights. first_step: where the cosine begins.

        fused: by torch's kernels that take the rate as a tensor, for steps that are recorded.
        """
        self.parameters, self.own = list(parameters), list(own)
        self.settings, self.total_steps, self.first_step = settings, total_steps, first_step
        self.still: list[TensorRows] = []
        self._fused = fused
        # foreach: the step of a single path touches ~100 tiny tensors; a Python loop over them shows.
        self.sgd = torch.optim.SGD(
            [*self.parameters, *self.own],
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            foreach=not fused,
            fused=fused,
        )

    def lr_at(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        s, share = self.settings, (step - self.first_step) / max(1, self.total_steps)
        units = share * (2**s.cycles - 1)
        cycle = min(int(math.log2(units + 1 + 1e-9)), s.cycles - 1)
        done = (units - (2**cycle - 1)) / 2**cycle
        return s.min_lr + (s.lr - s.min_lr) * 0.5 * (1 + math.cos(math.pi * done))

    def step(self, lr: Number) -> None:
        """Clip, update by the gradients that are there, drop them; weights without a gradient stay."""
        held = []
        for p, rows in self.still:
            if p.grad is not None:
                held.append((p, rows, p.data[rows].clone()))
                p.grad[rows] = 0
        if self.settings.clip is not None:
            for learned in filter(None, (self.parameters, self.own)):
                nn.utils.clip_grad_norm_(learned, self.settings.clip, foreach=True)
        for group in self.sgd.param_groups:
            group["lr"] = lr
        if self._fused and self.settings.momentum:
            self._begin_momentum()
        self.sgd.step()
        self.sgd.zero_grad(set_to_none=True)
        for p, rows, values in held:
            p.data[rows] = values

    def _begin_momentum(self) -> None:
        """The fused kernel wants all buffers at once; from 0 the first one is the gradient, as elsewhere."""
        for p in (*self.parameters, *self.own):
            if p.grad is not None and p not in self.sgd.state:
                self.sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)

    def ahead(self, lr: Number, gradients: Sequence[Tensor | None]) -> tuple[list[Tensor], Number]:
        """(weights after the step that `step` would make, -d weight / d gradient); changes nothing.

        The weights include clip, momentum and weight decay, and can be differentiated by the gradients. The
        factor of the clip and the momentum buffers count as constants. Where a gradient is None the weight
        stays.
        """
        s, scale, weights = self.settings, cast(Number, 1.0), []
        if s.clip is not None:
            norm = nn.utils.get_total_norm([g.detach() for g in gradients if g is not None], foreach=True)
            scale = (s.clip / (norm + 1e-6)).clamp_max(1.0)
        for p, g in zip(self.parameters, gradients, strict=True):
            if g is None:
                weights.append(p.detach())
                continue
            d = scale * g + s.weight_decay * p.detach()
            if s.momentum:
                buffer = self.sgd.state[p].get("momentum_buffer") if p in self.sgd.state else None
                momentum = d if buffer is None else s.momentum * buffer + d
                d = d + s.momentum * momentum if s.nesterov else momentum
            weights.append(p.detach() - lr * d)
        return weights, lr * scale * (1 + s.momentum * s.nesterov)


def checked_loss(loss: Tensor, where: str | None) -> Tensor:
    """The loss without gradient; DivergedError when it is no number. where: None leaves that to others."""
    if where is not None:
        require_finite(loss, where)
    return loss.detach()


def require_finite(loss: Tensor, where: str) -> float:
    """The loss as a number; DivergedError when it is none."""
    value = float(loss.detach())
    require_number(value, where)
    return value


def require_number(loss: float, where: str) -> None:
    """DivergedError when the loss is none."""
    if not math.isfinite(loss):
        raise DivergedError(
            f"{where}: the loss is {loss}; lower the learning rate, or look for constant or huge images in "
            "the data. The last checkpoint is from before and intact"
        )


def pack(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimiser's per-parameter state as `<prefix><parameter number>.<slot>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}{i}.{slot}": value.detach().clone(memory_format=torch.contiguous_format)
        for i, slots in state.items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)
    }


def unpack(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Put back what `pack` made; the learning rate is set anew by every step.

    Each buffer gets the memory layout of its parameter: another one may round differently.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            number, slot = name[len(prefix) :].split(".", 1)
            like = parameters[int(number)]
            restored = torch.empty_like(like).copy_(value) if value.shape == like.shape else value.clone()
            state.setdefault(int(number), {})[slot] = restored.detach()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class HasState(Protocol):
    """A module, or a policy that is none."""

    def state_dict(self) -> dict[str, Any]:
        """Named tensors."""
        ...


def tensors_of(part: HasState, prefix: str) -> dict[str, Tensor]:
    """Copies of the tensors of a module, their names after `prefix`."""
    return {f"{prefix}{name}": value.detach().clone() for name, value in part.state_dict().items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
