"""What an int8 convolution or product really executes: the way it goes, its padded work, what it gathers.

The runtime's quantised kernels fall into ways whose costs differ by a factor, and which of them runs is
decided by alignment (onnxruntime 1.31: `qlinearconv.cc`, MLAS `convsym.cpp` and `qgemm.h`):

- *fused*: dense, channels in multiples of 4, at least 16 of them out: pixels by channels at once, the result
  requantised in registers; what is not a pointwise step reads its pixels through a table of pointers.
- *fused depthwise*: channels in multiples of 16; *loose depthwise*: any others, through int32 sums.
- *product*: all the rest (stems, odd channels, groups): pixels are gathered into rows, per group, for a
  matrix product on whole tiles, and a pass over the int32 sums.

These are the x64 rules; on another processor the ways are more kinds than it has, which costs samples only.
"""

from __future__ import annotations

from dataclasses import dataclass

_FUSED_CHANNELS, _FUSED_OUT, _DEPTHWISE_CHANNELS = 4, 16, 16
_FUSED_TILE = (6, 16, 4)
_PRODUCT_TILE = (16, 16, 64)
_DEPTHWISE_TILE = (6, 16)


@dataclass(frozen=True, slots=True)
class Work:
    """way: `fused`, `loose` (depthwise) or `product`. macs: padded to whole tiles.

    gathered: pieces of memory that are looked up or copied before anything is computed.
    """

    way: str
    macs: float
    gathered: float


def conv_work(
    pixels: int, groups: int, group_in: int, group_out: int, kernel_size: int, plain_step: bool
) -> Work:
    """Of one image; pixels: of the output. plain_step: stride 1 without padding."""
    pointwise = kernel_size == 1 and plain_step
    if groups > 1 and group_in == group_out == 1:
        rows, columns = _DEPTHWISE_TILE
        way = "fused" if groups % _DEPTHWISE_CHANNELS == 0 else "loose"
        macs = _padded(pixels, rows) * _padded(groups, columns) * kernel_size
        return Work(way, float(macs), float(pixels * kernel_size))
    aligned = group_in % _FUSED_CHANNELS == 0 and group_out % _FUSED_CHANNELS == 0
    if groups == 1 and aligned and group_out >= _FUSED_OUT:
        macs = tiled(pixels, group_out, group_in * kernel_size, _FUSED_TILE)
        return Work("fused", macs, 0.0 if pointwise else float(pixels * kernel_size))
    macs = groups * tiled(pixels, group_out, group_in * kernel_size, _PRODUCT_TILE)
    return Work("product", macs, float(groups * pixels * (1 if pointwise else kernel_size)))


def product_macs(batch: int, m: int, n: int, k: int) -> float:
    """Padded multiply-accumulates of (m, k) x (k, n), `batch` times."""
    return batch * tiled(m, n, k, _PRODUCT_TILE)


def tiled(m: int, n: int, k: int, tile: tuple[int, int, int]) -> float:
    """Multiply-accumulates of a product on whole tiles."""
    return float(_padded(m, tile[0]) * _padded(n, tile[1]) * _padded(k, tile[2]))


def _padded(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
