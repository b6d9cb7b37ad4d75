"""What every supernet is, and `make`, which chooses one by the kind of space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.networks.wrappers import Wrapper
from targets.errors import UsageError


class Supernet(nn.Module, ABC):
    """What searches and evaluators need: shared weights that run a mix and give a network."""

    @abstractmethod
    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """Images (b, c, h, w) to logits (b, n_classes)."""

    @abstractmethod
    def extract(self, arch: Arch) -> nn.Module:
        """The deployed network of `arch` with a copy of the shared weights."""


@singledispatch
def make(space: NetworkSpace, scale: Scale | None = None, *wrappers: Wrapper) -> Supernet:
    """The network that holds the shared weights of all architectures of `space`.

    space: a space whose class, or a base of it, is registered by `@make.register`.
    scale: of the network that is searched; None: `space.search_scale`.
    wrappers: what its edges are wrapped in (`networks.wrappers`).
    Fresh weights come from torch's global generator.
    """
    raise UsageError(
        f"no supernet is known for spaces of class {type(space).__name__}; "
        "register a function that makes one with @hwnas.supernets.make.register"
    )


def refuse_wrappers(space: NetworkSpace, wrappers: Sequence[Wrapper]) -> None:
    """UsageError where `wrappers` are given for a space without edges."""
    if wrappers:
        raise UsageError(f"space {space.name} has no edges that {type(wrappers[0]).__name__} could wrap")


def use_batch_statistics(net: nn.Module) -> None:
    """Let every norm of `net` use the statistics of the batch, and keep none."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None


@torch.no_grad()
def copy_parameters(to: nn.Module, shared: nn.Module) -> None:
    """Write the parameters of `shared` into those of `to`, which have the same shapes."""
    for own, theirs in zip(to.parameters(), shared.parameters(), strict=True):
        own.copy_(theirs)
