"""The supernet of the macro space of ENAS: every operation of every layer, and all skip connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import Scale
from hwnas.networks.cell_layers import cell_module
from hwnas.networks.macro import MacroBody
from hwnas.networks.wrappers import Wrapper
from hwnas.spaces.enas_macro import EnasMacroSpace
from targets.errors import UsageError

from .supernet import Supernet, copy_parameters, make, refuse_wrappers, use_batch_statistics


class MacroSupernet(MacroBody, Supernet):
    """Shared weights of all architectures; every operation of a layer has its own."""

    def __init__(self, space: EnasMacroSpace, scale: Scale) -> None:
        """Fresh weights from torch's global generator."""
        super().__init__(space.fixed_blocks(scale), space.skips, affine=scale.affine)
        self.space, self.scale = space, scale
        self.layers = nn.ModuleList(
            nn.ModuleList(
                cell_module(space.operation_block(layer, k, scale), affine=scale.affine)
                for k in range(len(space.operations))
            )
            for layer in range(space.n_layers)
        )
        use_batch_statistics(self)

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """x: (b, c, h, w), normalised floats; returns logits (b, n_classes)."""
        return self.run(x.contiguous(memory_format=torch.channels_last), mix)

    def operation(self, layer: int, x: Tensor, mix: Mix) -> Tensor:
        """Sum of the active operations times their probabilities; a probe only gives its own a gradient."""
        choice, ops = self.space.operation(layer), cast(Sequence[nn.Module], self.layers[layer])
        probs = mix.scaled_probs[choice].to(x.dtype)
        terms = [ops[k](x) * probs[k] for k in mix.active[choice]]
        for k in mix.probe[choice]:
            with torch.no_grad():
                probed = ops[k](x)
            terms.append(probed * probs[k])
        return cast(Tensor, sum(terms[1:], terms[0]))

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """The network of `arch` with a copy of the shared weights."""
        with torch.random.fork_rng(devices=[]):
            net = self.space.build(arch, self.scale)
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (net.stem, self.stem),
            (net.norms, self.norms),
            (net.head, self.head),
        ]
        for after, reductions in net.reductions.items():
            shared_reductions = cast(nn.ModuleList, self.reductions[after])
            both = zip(cast(nn.ModuleList, reductions), shared_reductions, strict=True)
            pairs += [(own, theirs) for own, theirs in both if not isinstance(own, nn.Identity)]
        for layer, op in enumerate(net.operations):
            ops = cast(nn.ModuleList, self.layers[layer])
            pairs.append((op, ops[arch[self.space.operation(layer)]]))
        for to, shared in pairs:
            copy_parameters(to, shared)
        return net.to(next(self.parameters()).device).to(memory_format=torch.channels_last)


@make.register
def make_macro(space: EnasMacroSpace, scale: Scale | None = None, *wrappers: Wrapper) -> MacroSupernet:
    """The supernet of `space`. Its layers are no edges, so nothing wraps them."""
    refuse_wrappers(space, wrappers)
    scale = space.search_scale if scale is None else scale
    if scale.cells != space.n_layers:
        raise UsageError(
            f"space {space.name} has {space.n_layers} layers when it is searched, not {scale.cells}"
        )
    return MacroSupernet(space, scale)
