"""The blocks of cell spaces: operation names, keys, and what they cost on paper.

Every operation is pre-activated (ReLU, convolution, norm), as in DARTS [1] and NAS-Bench-201 [2]. No torch
here: the closed forms are checked in the tests against the built modules and against the published table.

[1] Liu et al. 2019, 1806.09055, section 3.1. [2] Dong and Yang 2020, 2001.00326, section 2.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hwnas.core.choice import NONE
from targets.errors import UsageError

from .conv import NODE_BYTES, Conv

KINDS = ("sep", "dil", "nor", "asym", "max", "avg", "skip", NONE)
_CONV = re.compile(r"(?P<kind>sep|dil|nor)_conv_(?P<k>[1357])x(?P=k)")
_ASYMMETRIC = re.compile(r"conv_(?P<k>[357])x1_1x(?P=k)")
_POOL = re.compile(r"(?P<kind>max|avg)_pool_3x3")


@dataclass(frozen=True, slots=True)
class CellOp:
    """One option of an edge: `sep_conv_5x5`, `nor_conv_1x1`, `max_pool_3x3`, `skip_connect`, …"""

    kind: str
    kernel: int = 0

    @classmethod
    def parse(cls, name: str) -> CellOp:
        """The operation of that name; UsageError says how names read."""
        if name in (NONE, "skip_connect"):
            return cls(NONE if name == NONE else "skip")
        if asymmetric := _ASYMMETRIC.fullmatch(name):
            return cls("asym", int(asymmetric["k"]))
        match = _CONV.fullmatch(name) or _POOL.fullmatch(name)
        if match is None or (match["kind"] in ("sep", "dil") and match["k"] == "1"):
            raise UsageError(
                f"unknown operation {name!r}; allowed: none, skip_connect, max_pool_3x3, avg_pool_3x3, "
                "sep_conv_<k>x<k>, dil_conv_<k>x<k>, conv_<k>x1_1x<k> (k 3, 5, 7), "
                "nor_conv_<k>x<k> (k 1, 3, 5, 7)"
            )
        return cls(match["kind"], int(match.groupdict().get("k") or 3))


@dataclass(frozen=True, slots=True)
class CellStep:
    """One tensor that a block writes: elements for one image, and the convolution that writes it.

    joint: it is written into the memory of the step before.
    """

    elements: int
    conv: Conv | None = None
    joint: bool = False


@dataclass(frozen=True, slots=True)
class CellBlock:
    """One distinct block of a cell space.

    kind: that of an operation, or one of
        stem, stem-relu (with an activation before), head, head-norm (with norm and activation before),
        reduce (factorised, stride 2), residual (the basic ResNet block with stride 2), norm,
        macro-conv, macro-sep, macro-max, macro-avg (a pointwise layer, then the operation).
    c_in, c_out: channels.
    size: side of the input in pixels.
    stride, kernel: of the operation.
    n_classes: of a head.
    steps: what runs in order, and how large each output is.
    """

    kind: str
    c_in: int
    c_out: int
    size: int
    stride: int = 1
    kernel: int = 1
    n_classes: int = 0
    steps: tuple[CellStep, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(_STEPS[self.kind](self)))

    @property
    def key(self) -> str:
        """`sep5/36x32x32/36/s1`."""
        shape_out = f"{self.c_out}" + (f"/{self.n_classes}" if self.n_classes else "")
        return f"cell-{self.kind}{self.kernel}/{self.c_in}x{self.size}x{self.size}/{shape_out}/s{self.stride}"

    @property
    def size_out(self) -> int:
        """Side of the output in pixels."""
        return -(-self.size // self.stride)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, c_in, size, size)."""
        return (1, self.c_in, self.size, self.size)

    @property
    def more_inputs(self) -> tuple[tuple[int, int, int, int], ...]:
        """None."""
        return ()

    @property
    def group(self) -> str:
        """Blocks that behave alike on a device: kind and resolution."""
        return f"{self.kind}{self.kernel}@{self.size}"

    @property
    def convs(self) -> tuple[Conv, ...]:
        """Convolutions and linear layers, in order."""
        return tuple(s.conv for s in self.steps if s.conv is not None)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers, one image."""
        return sum(c.macs for c in self.convs)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(c.params for c in self.convs) + (2 * self.c_in if self.kind in _LONE_NORM else 0)

    @property
    def file_bytes(self) -> int:
        """What the block adds to an exported fp32 file."""
        steps = sum(s.conv.file_bytes if s.conv is not None else NODE_BYTES for s in self.steps)
        return steps + (4 * 4 * self.c_in if self.kind in _LONE_NORM else 0)

    @property
    def peak_bytes(self) -> int:
        """Largest sum of the block's input, which others may read later, and what a step reads and writes."""
        before, peak = 0, 0
        for step in self.steps:
            peak = max(peak, step.elements + (0 if step.joint else before))
            before = step.elements
        return 4 * (self.c_in * self.size**2 + peak)

    @property
    def features(self) -> dict[str, float]:
        """Numbers for a latency predictor: shapes, work, traffic, alignment to the blocked layouts."""
        weight_bytes = 4 * sum(c.weights for c in self.convs)
        moved = self.c_in * self.size**2 + 2 * sum(s.elements for s in self.steps)
        values = {
            "c_in": self.c_in,
            "c_out": self.c_out,
            "size": self.size,
            "stride": self.stride,
            "kernel": self.kernel,
            **{f"is_{kind}": self.kind == kind for kind in ("sep", "dil", "nor", "max", "avg", "reduce")},
            "macs": self.macs,
            "depthwise_macs": sum(c.macs for c in self.convs if c.groups > 1),
            "bytes": 4 * moved + weight_bytes,
            "weight_bytes": weight_bytes,
            "unaligned16": sum(c.c_out % 16 != 0 for c in self.convs),
        }
        return {name: float(value) for name, value in values.items()}


def _stem(b: CellBlock) -> list[CellStep]:
    conv = Conv(b.c_in, b.c_out, 3, size_out=b.size_out)
    return [_conv_step(conv)]


def _normal(b: CellBlock) -> list[CellStep]:
    return [_relu_step(b.c_in, b.size), _conv_step(Conv(b.c_in, b.c_out, b.kernel, size_out=b.size_out))]


def _separable(b: CellBlock) -> list[CellStep]:
    """ReLU, depthwise, pointwise, norm."""
    depthwise = Conv(b.c_in, b.c_in, b.kernel, groups=b.c_in, size_out=b.size_out, bare=True)
    pointwise = Conv(b.c_in, b.c_out, 1, size_out=b.size_out)
    return [_relu_step(b.c_in, b.size), _conv_step(depthwise), _conv_step(pointwise)]


def _twice(b: CellBlock) -> list[CellStep]:
    again = CellBlock("dil", b.c_out, b.c_out, b.size_out, kernel=b.kernel)
    relu, *convs = _separable(again)
    return [*_separable(b), CellStep(relu.elements, joint=True), *convs]


def _asymmetric(b: CellBlock) -> list[CellStep]:
    """ReLU, a row of the kernel with the stride, a column of it, norm."""
    row = Conv(b.c_in, b.c_out, b.kernel, size_out=b.size_out, height=1, bare=True)
    column = Conv(b.c_out, b.c_out, 1, size_out=b.size_out, height=b.kernel)
    return [_relu_step(b.c_in, b.size), _conv_step(row), _conv_step(column)]


def _pool(b: CellBlock) -> list[CellStep]:
    return [CellStep(b.c_out * b.size_out**2)]


def _reduce(b: CellBlock) -> list[CellStep]:
    half = Conv(b.c_in, b.c_out // 2, 1, size_out=b.size_out)
    whole = b.c_out * b.size_out**2
    return [_relu_step(b.c_in, b.size), _conv_step(half), _conv_step(half), CellStep(whole)]


def _residual(b: CellBlock) -> list[CellStep]:
    first = Conv(b.c_in, b.c_out, 3, size_out=b.size_out)
    second = Conv(b.c_out, b.c_out, 3, size_out=b.size_out)
    shortcut = Conv(b.c_in, b.c_out, 1, size_out=b.size_out, bare=True)
    pooled = CellStep(b.c_in * b.size_out**2)
    main = [
        _relu_step(b.c_in, b.size),
        _conv_step(first),
        CellStep(_conv_step(first).elements, joint=True),
        _conv_step(second),
    ]
    return [*main, pooled, _conv_step(shortcut), CellStep(_conv_step(shortcut).elements, joint=True)]


def _head(b: CellBlock) -> list[CellStep]:
    linear = Conv(b.c_in, b.n_classes, 1, size_out=1, batch_norm=False)
    return [CellStep(b.c_in), CellStep(b.c_in, joint=True), _conv_step(linear)]


def _head_norm(b: CellBlock) -> list[CellStep]:
    plane = b.c_in * b.size**2
    return [CellStep(plane), CellStep(plane, joint=True), *_head(b)]


def _macro(b: CellBlock) -> list[CellStep]:
    first = _conv_step(Conv(b.c_in, b.c_out, 1, size_out=b.size))
    relu = CellStep(first.elements, joint=True)
    kind = b.kind.removeprefix("macro-").replace("conv", "nor")
    after = CellBlock(kind, b.c_out, b.c_out, b.size, kernel=b.kernel)
    if after.kind in ("max", "avg"):
        return [first, relu, *_pool(after)]
    steps = _separable(after) if after.kind == "sep" else _normal(after)
    return [first, relu, *steps[1:], relu]


def _norm(b: CellBlock) -> list[CellStep]:
    return [CellStep(b.c_in * b.size**2)]


def _relu_step(channels: int, size: int) -> CellStep:
    return CellStep(channels * size**2)


def _conv_step(conv: Conv) -> CellStep:
    return CellStep(conv.c_out * conv.size_out**2, conv)


_LONE_NORM = ("head-norm", "norm")
"""Kinds with a norm that no convolution takes in."""

_STEPS = {
    "stem": _stem,
    "stem-relu": _normal,
    "nor": _normal,
    "asym": _asymmetric,
    "dil": _separable,
    "sep": _twice,
    "max": _pool,
    "avg": _pool,
    "reduce": _reduce,
    "residual": _residual,
    "norm": _norm,
    "macro-conv": _macro,
    "macro-sep": _macro,
    "macro-max": _macro,
    "macro-avg": _macro,
    "head": _head,
    "head-norm": _head_norm,
}
