"""The supernet of a mobile space: one set of shared weights runs any mix of the options.

It runs the options that a mix calls active and knows no search method. Options of one layer share
their weights (weight entanglement, Cai et al. 2020; Sukthanker et al. 2023): a smaller expansion or
width is the first channels of the larger, a smaller kernel the centre of the larger, and all share
their norms. A fused convolution is the product of the pointwise and the depthwise weights plus a rest.
Residual branches and the rest start at 0. Without the last four, 400 steps on digits bring random
architectures to 0.21 validation accuracy instead of 0.95 (docs/benchmarks.md). Normalisation always
uses the statistics of the batch; `extract` gives a network with running statistics of its own, to be
recalibrated by the evaluator.

In a one-hot mix widths are sliced, so the result equals the built network exactly. A mix of widths
runs at the widest one, each channel scaled by the sum of the probabilities of the widths that own it
(channel masking, FBNetV2, Wan et al. 2020, section 3.2).
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import Scale
from hwnas.networks.conv import sides
from hwnas.networks.depthwise import depthwise_conv2d, halves
from hwnas.networks.mobile_blocks import MobileBlock, Operation, squeeze_channels
from hwnas.networks.mobile_layers import ConvBN, MBConv, MobileNetwork, SqueezeExcite
from hwnas.networks.modules import module_of
from hwnas.networks.wrappers import Wrapper
from hwnas.spaces.mobile import MobileSpace
from hwnas.spaces.mobile_definition import SKIP

from .importance import sort_middle
from .shared_head import read_first_channels
from .supernet import Supernet, copy_parameters, make, refuse_wrappers, use_batch_statistics
from .widths import running_width


def _weight(*shape: int) -> nn.Parameter:
    """Kaiming-normal by fan-out, as torchvision's MobileNets start."""
    fan_out = shape[0] * math.prod(shape[2:]) if shape[1] > 1 else math.prod(shape[2:])
    weight = torch.randn(*shape) * math.sqrt(2 / fan_out)
    return nn.Parameter(weight.to(memory_format=torch.channels_last) if len(shape) == 4 else weight)


class SharedNorm(nn.Module):
    """Batch normalisation of the first channels of the widest option, by batch statistics."""

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        """Scale: where the channels start; 0 makes a residual block start as the identity."""
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), float(scale)))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), c up to the widest."""
        n = x.shape[1]
        return F.batch_norm(x, None, None, self.weight[:n], self.bias[:n], training=True)

    def copy_to(self, norm: nn.BatchNorm2d) -> None:
        """Write the scale and shift of the first channels into `norm`."""
        norm.weight.copy_(self.weight[: norm.num_features])
        norm.bias.copy_(self.bias[: norm.num_features])


def _centre(weight: Tensor, kernel: int) -> Tensor:
    """The middle (…, kernel, kernel) of a larger kernel; (…, 1, kernel) of one of signals."""
    rows, columns = ((side - min(side, kernel)) // 2 for side in weight.shape[-2:])
    return weight[..., rows : rows + kernel, columns : columns + kernel]


def _act(x: Tensor, name: str) -> Tensor:
    return F.hardswish(x) if name == "hs" else F.relu(x)


class SharedBlock(nn.Module):
    """The shared weights of one layer: every operation at every input and output width."""

    def __init__(
        self, operations: list[Operation], c_in: int, c_out: int, stride: int, residual: bool, dims: int
    ) -> None:
        """Sized for the widest input, output and expansion, and the largest kernel, among `operations`."""
        super().__init__()
        self.stride = stride
        inverted = [o for o in operations if o.kind == "mb"]
        fused = [o for o in operations if o.kind == "fused"]
        mid, kernel = c_in * max(o.expand for o in operations), max(o.kernel for o in operations)
        self.depthwise = _weight(mid, 1, *sides(kernel, dims))
        if fused or mid > c_in:  # without expansion the depthwise layer comes first (MobileNetV2)
            self.expand = _weight(mid, c_in, 1, 1)
        self.project, self.project_norm = _weight(c_out, mid, 1, 1), SharedNorm(c_out, 1 - residual)
        if inverted:
            self.depthwise_norm = SharedNorm(mid)
            if mid > c_in:
                self.expand_norm = SharedNorm(mid)
        if fused:
            fused_mid = c_in * max(o.expand for o in fused)
            kernel = max(o.kernel for o in fused)
            self.fused, self.fused_norm = (
                _weight(fused_mid, c_in, *sides(kernel, dims)),
                SharedNorm(fused_mid),
            )
            nn.init.zeros_(self.fused)
        squeezed = [c_in * o.expand for o in operations if o.se]
        if squeezed:
            widest, narrow = max(squeezed), squeeze_channels(max(squeezed))
            self.reduce, self.reduce_bias = _weight(narrow, widest, 1, 1), nn.Parameter(torch.zeros(narrow))
            self.restore, self.restore_bias = _weight(widest, narrow, 1, 1), nn.Parameter(torch.zeros(widest))

    def forward(self, x: Tensor, op: Operation, c_out: int) -> Tensor:
        """x: (b, c_in, h, w) of any width up to the widest; the shortcut is the caller's."""
        c_in = x.shape[1]
        mid = c_in * op.expand
        if op.kind == "fused":
            weight = self._fused_weight(op.kernel, mid, c_in)
            y = _act(self.fused_norm(F.conv2d(x, weight, None, self.stride, halves(weight))), op.act)
        else:
            y = x
            if op.expand > 1:
                y = _act(self.expand_norm(F.conv2d(x, self.expand[:mid, :c_in])), op.act)
            y = depthwise_conv2d(y, _centre(self.depthwise, op.kernel)[:mid], self.stride)
            y = _act(self.depthwise_norm(y), op.act)
        if op.se:
            y = y * self._gate(y)
        out: Tensor = self.project_norm(F.conv2d(y, self.project[:c_out, :mid]))
        return out

    def _fused_weight(self, kernel: int, mid: int, c_in: int) -> Tensor:
        """(mid, c_in, h, w): the product of the pointwise and the depthwise weights, and a rest.

        The rest starts at 0, so that a fused block begins as its factored sister does.
        """
        factored = self.expand[:mid, :c_in] * _centre(self.depthwise, kernel)[:mid]
        return factored + _centre(self.fused, kernel)[:mid, :c_in]

    def _gate(self, y: Tensor) -> Tensor:
        mid = y.shape[1]
        narrow = squeeze_channels(mid)
        z = F.adaptive_avg_pool2d(y, 1)
        z = F.relu(F.conv2d(z, self.reduce[:narrow, :mid], self.reduce_bias[:narrow]))
        return F.hardsigmoid(F.conv2d(z, self.restore[:mid, :narrow], self.restore_bias[:mid]))

    def copy_to(self, module: MBConv, block: MobileBlock) -> None:
        """Write the shared weights of `block` into its deployed module."""
        op, mid = block.op, block.c_in * block.op.expand
        if op.kind == "fused":
            _copy(module.expand, self._fused_weight(op.kernel, mid, block.c_in), self.fused_norm)
        else:
            if op.expand > 1:
                _copy(module.expand, self.expand[:mid, : block.c_in], self.expand_norm)
            _copy(module.depthwise, _centre(self.depthwise, op.kernel)[:mid], self.depthwise_norm)
        _copy(module.project, self.project[: block.c_out, :mid], self.project_norm)
        if isinstance(module.squeeze, SqueezeExcite):
            narrow = squeeze_channels(mid)
            module.squeeze.reduce.weight.copy_(self.reduce[:narrow, :mid])
            module.squeeze.expand.weight.copy_(self.restore[:mid, :narrow])
            for bias, shared in (
                (module.squeeze.reduce.bias, self.reduce_bias[:narrow]),
                (module.squeeze.expand.bias, self.restore_bias[:mid]),
            ):
                if bias is not None:
                    bias.copy_(shared)


def _copy(to: nn.Module, weight: Tensor, norm: nn.Module) -> None:
    conv, bn = to.get_submodule("0"), to.get_submodule("1")
    if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d) and isinstance(norm, SharedNorm):
        conv.weight.copy_(weight)
        norm.copy_to(bn)


class MixedLayer(nn.Module):
    """One position of a stage: the mix of its operations at the mix of its widths."""

    def __init__(
        self, names: tuple[str, ...], space: MobileSpace, c_in: int, c_out: int, stride: int, residual: bool
    ) -> None:
        """Names: the options of the layer's choice, in order."""
        super().__init__()
        self.operations = [space.operations[n] for n in names]
        real = [o for o in self.operations if o.kind != "skip"]
        dims = space.scale.dims
        self.block, self.residual = SharedBlock(real, c_in, c_out, stride, residual, dims), residual

    def forward(self, x: Tensor, index: int, mix: Mix, c_out: int, mask: Tensor | None) -> Tensor:
        """x: (b, c_in, h, w). index: of the layer's choice. mask: (c_out, 1, 1), None if one-hot."""
        probs = mix.probs[index]
        total: Tensor | None = None
        for group, probing in ((mix.active[index], False), (mix.probe[index], True)):
            for k in group:
                y = self._option(x, k, c_out, mask, probing)
                y = y * probs[k] if len(group) > 1 or probing or probs.requires_grad else y
                total = y if total is None else total + y
        if total is None:
            raise ValueError(f"choice {index}: a mix needs at least one active option")
        return total

    def _option(self, x: Tensor, k: int, c_out: int, mask: Tensor | None, probing: bool) -> Tensor:
        op = self.operations[k]
        if op.kind == "skip":
            return x.detach() if probing else x
        with torch.set_grad_enabled(torch.is_grad_enabled() and not probing):
            y: Tensor = self.block(x, op, c_out)
            y = y if mask is None else y * mask.detach() if probing else y * mask
            return x + y if self.residual else y


class MobileSupernet(Supernet):
    """Shared weights of a `MobileSpace`; see the module's docstring."""

    def __init__(self, space: MobileSpace) -> None:
        """Fresh weights from torch's global generator."""
        super().__init__()
        self.space = space
        self.stem = ConvBN(
            space.scale.in_channels,
            space.stem_channels,
            3,
            stride=space.definition.stem_stride,
            act="hs",
            dims=space.scale.dims,
        )
        before = space.stem_channels
        self.stages = nn.ModuleList()
        for stage in space.stages:
            widest = max(stage.widths)
            mixed = nn.ModuleList()
            for i, layer in enumerate(stage.layers):
                names = space.choices[layer].options
                c_in, stride = (widest, 1) if i else (before, stage.stride)
                mixed.append(MixedLayer(names, space, c_in, widest, stride, residual=i > 0))
            self.stages.append(mixed)
            before = widest
        self.head = module_of(space.blocks()[str(space.positions[-1].keys.flat[-1])])  # of the widest maps
        read_first_channels(self.head)
        use_batch_statistics(self)

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """x: (b, c, h, w), normalised floats; returns what the head gives, of classes (b, n_classes)."""
        x = self.stem(x)
        inner = self.space.inner
        maps = [x] if inner is not None and inner.stage is None else []
        for number, (stage, mixed) in enumerate(zip(self.space.stages, self.stages, strict=True)):
            width, factor = running_width(stage.widths, stage.width_choice, mix, x.device)
            mask = None if factor is None else factor[:, None, None]
            for layer, choice in zip(mixed.children(), stage.layers, strict=True):
                x = layer(x, choice, mix, width, mask)
            if inner is not None and inner.stage == number:
                maps.append(x)
        return cast(Tensor, self.head(x, *maps))

    def sort_channels(self) -> None:
        """The middle channels of every layer, the most important first."""
        for module in self.modules():
            if isinstance(module, SharedBlock):
                sort_middle(module)

    @torch.no_grad()
    def extract(self, arch: Arch) -> MobileNetwork:
        """The deployed network of `arch` with a copy of the shared weights; BN statistics are fresh."""
        with torch.random.fork_rng(devices=[]):
            net = self.space.build(arch)
        keys = self.space.module_keys(arch)
        copy_parameters(net.stem, self.stem)
        i = 0
        for stage, mixed in zip(self.space.stages, self.stages, strict=True):
            for layer, choice in zip(mixed.children(), stage.layers, strict=True):
                if self.space.choices[choice].options[arch[choice]] != SKIP:
                    block = net.blocks[i]
                    i += 1
                    if isinstance(block, MBConv) and isinstance(layer, MixedLayer):
                        layer.block.copy_to(block, self.space.trunk_block(keys[i]))
        for own, widest in zip(net.head.parameters(), self.head.parameters(), strict=True):
            own.copy_(widest[tuple(map(slice, own.shape))])
        return net.to(next(self.parameters()).device).to(memory_format=torch.channels_last)


@make.register
def make_mobile(space: MobileSpace, scale: Scale | None = None, *wrappers: Wrapper) -> MobileSupernet:
    """The supernet of `space`. Its layers are no edges, so nothing wraps them."""
    space.check_scale(scale)
    refuse_wrappers(space, wrappers)
    return MobileSupernet(space)
