"""What an int8 convolution or product really executes: the way it goes, whole tiles, gathers, scratch memory.

The runtime's quantised kernels go ways whose costs differ by a factor, and alignment decides which
(onnxruntime 1.31: `qlinearconv.cc`, MLAS `convsym.cpp`, `qgemm_kernel_amx.cpp`):

- *fused*: dense, channels in multiples of 4, at least 16 of them out: the result is requantised in
  registers; what is no pointwise step reads its pixels through a table of pointers.
- *fused* depthwise: channels in multiples of 16; *loose* depthwise: any others, through int32 sums.
- *product*: all the rest (stems, odd channels, groups): pixels are copied into rows, group by group, for a
  matrix product on tiles, and a second pass requantises the int32 sums.

These are the rules of x64. On another processor they split one kind into several, which only costs samples.
"""

from __future__ import annotations

from dataclasses import dataclass

_FUSED_TILE, _DEPTHWISE_TILE, _PRODUCT_TILE = (6, 16, 4), (6, 16), (16, 16, 64)
_FUSED_OUT = 16
_SUM_BYTES, _POINTER_BYTES = 4, 8


@dataclass(frozen=True, slots=True)
class Window:
    """The kernel of a convolution. moves: a stride or padding keeps pixels from being read in place."""

    height: int
    width: int
    dilation: int
    moves: bool

    @property
    def size(self) -> int:
        """Pixels per output pixel."""
        return self.height * self.width

    @property
    def in_place(self) -> bool:
        """The input is the matrix."""
        return self.size == 1 and not self.moves


@dataclass(frozen=True, slots=True)
class Int8Work:
    """What a kernel executes for one image.

    way: `fused`, `loose` or `product`.
    macs: multiply-accumulates on whole tiles.
    gathers: pieces of memory that are looked up or copied first.
    scratch_bytes: written and read once more.
    """

    way: str
    macs: float
    gathers: float
    scratch_bytes: float


def conv_work(pixels: int, groups: int, group_in: int, group_out: int, window: Window) -> Int8Work:
    """The work of a convolution. pixels: of the output; group_in, group_out: channels per group."""
    gathers = 0 if window.in_place else pixels * window.size
    if groups > 1 and group_in == group_out == 1:
        way = "loose" if groups % _DEPTHWISE_TILE[1] else "fused"
        macs = _padded(pixels, _DEPTHWISE_TILE[0]) * _padded(groups, _DEPTHWISE_TILE[1]) * window.size
        sums = pixels * groups * _SUM_BYTES if way == "loose" else 0
        scratch = sums + gathers * _POINTER_BYTES
        return Int8Work(way=way, macs=float(macs), gathers=float(gathers), scratch_bytes=float(scratch))
    unit = _FUSED_TILE[2]
    if groups == 1 and group_in % unit == group_out % unit == 0 and group_out >= _FUSED_OUT:
        macs = _tiled(pixels, group_out, group_in * window.size, _FUSED_TILE)
        scratch = gathers * _POINTER_BYTES
        return Int8Work(way="fused", macs=float(macs), gathers=float(gathers), scratch_bytes=float(scratch))
    k = group_in * window.size
    sums = pixels * groups * group_out * _SUM_BYTES
    rows = 0 if window.in_place else pixels * k
    # Rows of the window that lie in one piece are copied as one.
    copies = pixels * window.height if groups == window.dilation == 1 else groups * pixels * window.size
    macs = groups * _tiled(pixels, group_out, k, _PRODUCT_TILE)
    return Int8Work(way="product", macs=float(macs), gathers=float(copies), scratch_bytes=float(sums + rows))


def product_work(batch: int, m: int, n: int, k: int) -> Int8Work:
    """The work of (m, k) x (k, n), `batch` times."""
    return Int8Work(
        way="product",
        macs=float(batch * _tiled(m, n, k, _PRODUCT_TILE)),
        gathers=float(batch),
        scratch_bytes=float(m * n * _SUM_BYTES),
    )


def _tiled(m: int, n: int, k: int, tile: tuple[int, int, int]) -> int:
    return _padded(m, tile[0]) * _padded(n, tile[1]) * _padded(k, tile[2])


def _padded(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
