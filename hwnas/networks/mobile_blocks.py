"""The blocks of mobile spaces: operation names, keys, and what they cost on paper.

No torch here: the numbers are closed forms, checked in the tests against the built modules,
torch's FLOP counter, ptflops and the size of exported files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwnas.core.samples import area
from targets.errors import UsageError

from .conv import Conv, SumOfConvs, sides

_NAME = re.compile(r"(?P<kind>mb|fused)(?P<kernel>[357])e(?P<expand>[1-8])(?P<se>-se)?(?P<hs>-hs)?")


def squeeze_channels(channels: int) -> int:
    """Channels of the squeeze-and-excite bottleneck: a quarter, rounded up to a multiple of 8."""
    return max(8, -(-channels // 32) * 8)


@dataclass(frozen=True, slots=True)
class Operation:
    """One option of a layer, named `mb5e6-se-hs`, `fused3e3` or `skip`.

    kind: mb, fused, skip, or none for the blocks that no choice rules.
    kernel: side of the depthwise, or fused, kernel; of signals its length.
    expand: middle channels per input channel.
    se: whether a squeeze-and-excite follows.
    act: relu or hs (HardSwish).
    """

    kind: str
    kernel: int = 0
    expand: int = 0
    se: bool = False
    act: str = "relu"

    @classmethod
    def parse(cls, name: str) -> Operation:
        """The operation of that name; UsageError says how names read."""
        if name == "skip":
            return cls("skip")
        match = _NAME.fullmatch(name)
        if match is None:
            raise UsageError(
                f"unknown operation {name!r}; allowed: skip, mb<kernel>e<expansion>[-se][-hs] or "
                "fused<kernel>e<expansion>[-se][-hs], kernel 3, 5 or 7, expansion 1 to 8 (mb5e6-se-hs)"
            )
        act = "hs" if match["hs"] else "relu"
        return cls(
            kind=match["kind"],
            kernel=int(match["kernel"]),
            expand=int(match["expand"]),
            se=bool(match["se"]),
            act=act,
        )


@dataclass(frozen=True, slots=True)
class MobileBlock(SumOfConvs):
    """One distinct block of a mobile space: operation and shapes. All spaces share its key, which says both.

    kind: stem, head, or that of the operation.
    op: the operation; without meaning for stem and head.
    c_in, c_out: channels; `c_out` of a head is the width of its feature vector.
    size: side of the input.
    stride: of the block.
    residual: whether the input is added to the output.
    n_classes: of a head.
    dims: of the maps: 2 for images, 1 for signals, whose kernels are 1 high.
    """

    kind: str
    op: Operation
    c_in: int
    c_out: int
    size: int
    stride: int
    residual: bool = False
    n_classes: int = 0
    dims: int = 2

    @property
    def key(self) -> str:
        """`mb3e6-se-hs/24x8x8/32/s2`, with `+` after the operation where the input is added.

        Of a signal of 128 values `mb3e6-se-hs/24x1x128/32/s2`.
        """
        name = self.kind
        if self.kind in ("mb", "fused"):
            name = f"{self.kind}{self.op.kernel}e{self.op.expand}"
            name += "-se" * self.op.se + "-hs" * (self.op.act == "hs") + "+" * self.residual
        shape_out = f"{self.c_out}" + (f"/{self.n_classes}" if self.n_classes else "")
        height, width = sides(self.size, self.dims)
        return f"{name}/{self.c_in}x{height}x{width}/{shape_out}/s{self.stride}"

    @property
    def size_out(self) -> int:
        """Side of the output (padding keeps size / stride, rounded up)."""
        return -(-self.size // self.stride)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, c_in, height, width)."""
        return (1, self.c_in, *sides(self.size, self.dims))

    def _conv(
        self, c_in: int, c_out: int, kernel: int, size_out: int, *, groups: int = 1, norm: bool = True
    ) -> Conv:
        return Conv(
            c_in=c_in,
            c_out=c_out,
            kernel=kernel,
            size_out=size_out,
            groups=groups,
            batch_norm=norm,
            dims=self.dims,
        )

    @property
    def more_inputs(self) -> tuple[tuple[int, int, int, int], ...]:
        """None."""
        return ()

    @property
    def shape_out(self) -> list[int]:
        """Of the answer to one image."""
        if self.kind == "head":
            return [self.n_classes, 1, 1]
        return [self.c_out, *sides(self.size_out, self.dims)]

    @property
    def group(self) -> str:
        """Blocks that behave alike on a device: kind and resolution."""
        return f"{self.kind}{'-se' if self.op.se else ''}@{self.size}"

    @property
    def trunk(self) -> tuple[Conv, ...]:
        """The convolutions and linear layers that the sample passes through, in order."""
        if self.kind == "stem":
            return (self._conv(self.c_in, self.c_out, 3, self.size_out),)
        if self.kind == "head":
            features = self._conv(self.c_in, self.c_out, 1, self.size)
            return (features, self._conv(self.c_out, self.n_classes, 1, 1, norm=False))
        mid = self.c_in * self.op.expand
        project = self._conv(mid, self.c_out, 1, self.size_out)
        if self.kind == "fused":
            return (self._conv(self.c_in, mid, self.op.kernel, self.size_out), project)
        depthwise = self._conv(mid, mid, self.op.kernel, self.size_out, groups=mid)
        expand = (self._conv(self.c_in, mid, 1, self.size),) if self.op.expand > 1 else ()
        return (*expand, depthwise, project)

    @property
    def convs(self) -> tuple[Conv, ...]:
        """The trunk and, where there is one, the two gates of the squeeze-and-excite."""
        if not self.op.se:
            return self.trunk
        mid = self.c_in * self.op.expand
        squeezed = squeeze_channels(mid)
        reduce = self._conv(mid, squeezed, 1, 1, norm=False)
        return (*self.trunk, reduce, self._conv(squeezed, mid, 1, 1, norm=False))

    @property
    def peak_bytes(self) -> int:
        """Largest sum of fp32 activations that live at once, one sample.

        Per step: what it reads, what it writes, and the block's input while the shortcut keeps it.
        """
        read = self.c_in * area(self.size, self.dims)
        kept, peak = 0, 0
        for conv in self.trunk:
            written = conv.c_out * area(conv.size_out, self.dims)
            peak = max(peak, read + written + kept)
            read, kept = written, self.c_in * area(self.size, self.dims) if self.residual else 0
        if self.op.se:  # the gate is multiplied into a second copy of the widest tensor
            peak = max(peak, 2 * self.trunk[-1].c_in * area(self.size_out, self.dims) + kept)
        return 4 * peak

    @property
    def features(self) -> dict[str, float]:
        """Numbers for a latency predictor: shapes, work, traffic, alignment to the blocked layouts."""
        convs = self.convs
        traffic = sum(
            c.weights + c.c_in * area(self.size, self.dims) + c.c_out * area(c.size_out, self.dims)
            for c in convs
        )
        values = {
            "c_in": self.c_in,
            "c_out": self.c_out,
            "mid": self.c_in * self.op.expand,
            "size": self.size,
            "stride": self.stride,
            "kernel": self.op.kernel,
            "se": self.op.se,
            "hs": self.op.act == "hs",
            "fused": self.kind == "fused",
            "residual": self.residual,
            "macs": self.macs,
            "depthwise_macs": sum(c.macs for c in convs if c.groups > 1),
            "bytes": 4 * traffic,
            "weight_bytes": 4 * sum(c.weights for c in convs),
            "unaligned16": sum(c.c_out % 16 != 0 for c in convs),
            "unaligned_in16": self.c_in % 16 != 0,
        }
        return {name: float(value) for name, value in values.items()}
