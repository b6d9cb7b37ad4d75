"""Operations of all edges that leave one state, stacked, so that one call runs them for all targets.

Every edge that leaves a state reads the same tensor. So its ReLU and its poolings are computed once, and the
convolutions of n targets are one convolution with n groups of channels: channel t * c + i is channel i of
target t. All of it is exact. The probability that a mix gives an operation is multiplied into the scale and
shift of its last norm, which costs nothing and gives the probability its gradient.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.networks.cell_blocks import CellOp
from hwnas.networks.cell_layers import shifted
from hwnas.networks.depthwise import depthwise_conv2d, splits, to_phases
from hwnas.networks.pointwise import conv2d

Targets = tuple[int, ...]
"""Which of the targets of a state: positions, ascending."""


def weight_of(*shape: int) -> nn.Parameter:
    """Torch's uniform start for convolutions, by fan-in."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def pick(stacked: Tensor, n: int, targets: Targets) -> Tensor:
    """The parts of `stacked` (n * c, …) that belong to `targets`."""
    if len(targets) == n:
        return stacked
    c = len(stacked) // n
    return (
        torch.cat([stacked[t * c : (t + 1) * c] for t in targets])
        if len(targets) > 1
        else stacked[targets[0] * c : (targets[0] + 1) * c]
    )


class EdgeInput:
    """A state as the edges that leave it read it. What they share is computed once; always channels last."""

    def __init__(self, x: Tensor, stride: int) -> None:
        """x: (b, c, h, w). stride: of the edges."""
        self.x, self.stride = x, stride
        self._cache: dict[tuple[str, int], Tensor] = {}

    def relu(self) -> Tensor:
        """(b, c, h, w)."""
        if ("relu", 1) not in self._cache:
            self._cache["relu", 1] = F.relu(self.x)
        return self._cache["relu", 1]

    def copies(self, n: int) -> Tensor:
        """(b, n c, h, w): the ReLU side by side, once per target."""
        if n == 1:
            return self.relu()
        if ("copies", n) not in self._cache:
            self._cache["copies", n] = _side_by_side(self.relu(), n)
        return self._cache["copies", n]

    def phases(self, n: int) -> Tensor:
        """The copies as an undilated convolution reads them that replaces one with dilation 2."""
        if ("phases", n) not in self._cache:
            phases = to_phases(self.relu(), self.stride) if n == 1 else _side_by_side(self.phases(1), n)
            self._cache["phases", n] = phases
        return self._cache["phases", n]

    @property
    def splits(self) -> bool:
        """Whether the phases are used: on a CPU, where a dilated convolution is slow."""
        return self.x.device.type == "cpu" and splits(self.x, self.stride)


def _side_by_side(x: Tensor, n: int) -> Tensor:
    b, c, h, w = x.shape
    y = x.permute(0, 2, 3, 1).unsqueeze(3).expand(b, h, w, n, c)
    return y.reshape(b, h, w, n * c).permute(0, 3, 1, 2)


class StackedNorm(nn.Module):
    """Norms of n targets by the statistics of the batch.

    Without `affine` scale and shift are the constants 1 and 0, and stand among the buffers all the same: a
    response hypernetwork puts its tensors in their place.
    """

    def __init__(self, n: int, c: int, affine: bool) -> None:
        super().__init__()
        self.n, self.c = n, c
        for name, value in (("scale", torch.ones(n * c)), ("shift", torch.zeros(n * c))):
            if affine:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def forward(self, x: Tensor, targets: Targets, gain: Tensor | None) -> Tensor:
        """x: (b, targets c, h, w). gain: (targets,), what each target's part is multiplied by."""
        scale = pick(self.get_tensor("scale"), self.n, targets)
        shift = pick(self.get_tensor("shift"), self.n, targets)
        if gain is not None:
            each = gain[:, None].expand(-1, self.c).reshape(-1)
            scale, shift = scale * each, shift * each
        return F.batch_norm(x, None, None, scale, shift, training=True)

    def get_tensor(self, name: str) -> Tensor:
        """Scale or shift, parameter or buffer."""
        tensor: Tensor = getattr(self, name)
        return tensor


class Stack(nn.Module, ABC):
    """An operation on n edges. Weights of target t: the t-th part of every tensor."""

    def __init__(self, n: int, c: int) -> None:
        super().__init__()
        self.n, self.c = n, c

    def phased(self, source: EdgeInput) -> bool:
        """Whether the output is in phases."""
        return False

    @abstractmethod
    def forward(self, source: EdgeInput, targets: Targets, gain: Tensor | None) -> Tensor:
        """(b, targets c, h / stride, w / stride), times the gain (targets,) of each target."""

    def pointwise(self, x: Tensor, weight: Tensor, targets: Targets) -> Tensor:
        """One pointwise convolution per target. x: (b, targets c, h, w)."""
        return F.conv2d(x, pick(weight, self.n, targets), groups=len(targets))


class StackedDilated(Stack):
    """ReLU, depthwise convolution with dilation 2, pointwise convolution, norm."""

    def __init__(self, n: int, c: int, kernel: int, affine: bool) -> None:
        super().__init__(n, c)
        self.depthwise, self.project = weight_of(n * c, 1, kernel, kernel), weight_of(n * c, c, 1, 1)
        self.norm = StackedNorm(n, c, affine)

    def phased(self, source: EdgeInput) -> bool:
        """Pointwise layers and norms work on phases too, so pixels are put back after all is summed."""
        return source.splits and source.stride == 1

    def forward(self, source: EdgeInput, targets: Targets, gain: Tensor | None) -> Tensor:
        """See `Stack`."""
        kernels = pick(self.depthwise, self.n, targets)
        if source.splits:
            y = depthwise_conv2d(source.phases(len(targets)), kernels)
        else:
            y = depthwise_conv2d(source.copies(len(targets)), kernels, source.stride, 2)
        out: Tensor = self.norm(self.pointwise(y, self.project, targets), targets, gain)
        return out


class StackedSeparable(Stack):
    """Twice: ReLU, depthwise convolution, pointwise convolution, norm."""

    def __init__(self, n: int, c: int, kernel: int, affine: bool) -> None:
        super().__init__(n, c)
        self.depthwise, self.project = weight_of(n * c, 1, kernel, kernel), weight_of(n * c, c, 1, 1)
        self.inner_norm = StackedNorm(n, c, affine)
        self.depthwise2, self.project2 = weight_of(n * c, 1, kernel, kernel), weight_of(n * c, c, 1, 1)
        self.norm = StackedNorm(n, c, affine)

    def forward(self, source: EdgeInput, targets: Targets, gain: Tensor | None) -> Tensor:
        """See `Stack`."""
        kernels = pick(self.depthwise, self.n, targets)
        y = depthwise_conv2d(source.copies(len(targets)), kernels, source.stride)
        y = F.relu(self.inner_norm(self.pointwise(y, self.project, targets), targets, None))
        y = depthwise_conv2d(y, pick(self.depthwise2, self.n, targets))
        out: Tensor = self.norm(self.pointwise(y, self.project2, targets), targets, gain)
        return out


class StackedConv(Stack):
    """ReLU, convolution, norm: one convolution to all targets, because all read the same channels."""

    def __init__(self, n: int, c: int, kernel: int, affine: bool) -> None:
        super().__init__(n, c)
        self.conv, self.norm = weight_of(n * c, c, kernel, kernel), StackedNorm(n, c, affine)

    def forward(self, source: EdgeInput, targets: Targets, gain: Tensor | None) -> Tensor:
        """See `Stack`."""
        kernel = self.conv.shape[-1]
        weight = pick(self.conv, self.n, targets)
        y = conv2d(source.relu(), weight, source.stride, kernel // 2)
        out: Tensor = self.norm(y, targets, gain)
        return out


class StackedReduce(Stack):
    """The skip connection of stride 2: two pointwise convolutions, one shifted by a pixel, and a norm."""

    def __init__(self, n: int, c: int, affine: bool) -> None:
        super().__init__(n, c)
        self.even, self.odd = weight_of(n * (c // 2), c, 1, 1), weight_of(n * (c // 2), c, 1, 1)
        self.norm = StackedNorm(n, c, affine)

    def forward(self, source: EdgeInput, targets: Targets, gain: Tensor | None) -> Tensor:
        """See `Stack`."""
        x = source.relu()
        even = conv2d(x, pick(self.even, self.n, targets), 2)
        odd = conv2d(shifted(x, x.shape[2] % 2 == 1), pick(self.odd, self.n, targets), 2)
        b, _, h, w = even.shape
        halves = [y.permute(0, 2, 3, 1).reshape(b, h, w, len(targets), self.c // 2) for y in (even, odd)]
        y = torch.cat(halves, dim=4).reshape(b, h, w, -1).permute(0, 3, 1, 2)
        out: Tensor = self.norm(y, targets, gain)
        return out


class Weightless(nn.Module):
    """An operation without weights: the same for every target. Max and average pooling, identity."""

    def __init__(self, kind: str, c: int, norm: bool) -> None:
        super().__init__()
        self.kind = kind
        self.norm = StackedNorm(1, c, affine=False) if norm else None

    def forward(self, source: EdgeInput) -> Tensor:
        """(b, c, h / stride, w / stride)."""
        if self.kind == "skip":
            return source.x
        if self.kind == "max":
            y = F.max_pool2d(source.x, 3, source.stride, 1)
        else:
            y = F.avg_pool2d(source.x, 3, source.stride, 1, count_include_pad=False)
        return y if self.norm is None else self.norm(y, (0,), None)


def make_op(op: CellOp, n: int, c: int, stride: int, affine: bool, pool_norm: bool) -> Stack | Weightless:
    """The module of an operation on the n edges that leave a state."""
    if op.kind == "sep":
        return StackedSeparable(n, c, op.kernel, affine)
    if op.kind == "dil":
        return StackedDilated(n, c, op.kernel, affine)
    if op.kind == "nor":
        return StackedConv(n, c, op.kernel, affine)
    if op.kind == "skip" and stride == 2:
        return StackedReduce(n, c, affine)
    return Weightless(op.kind, c, norm=pool_norm and op.kind in ("max", "avg"))
