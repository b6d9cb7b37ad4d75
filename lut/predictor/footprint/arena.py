"""onnxruntime's arena, step by step: which bytes of its regions are ever written by a network.

The CPU provider takes memory in regions of 1, 2, 4, 8, ... MiB and cuts chunks from them, best fit first,
joining free neighbours (core/framework/bfc_arena.cc). A page that is never written is not resident, so what
counts is not the size of the regions but what was handed out. The first run takes tensors one by one; it
teaches a pattern (core/framework/mem_pattern_planner.h), and from the second run on one block holds them all:
that block may need a region of its own, and then the peak is nearly twice that of the tensors.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from .liveness import Buffer

_ROUND = 256
_FIRST_REGION = 1 << 20
_MAX_DEAD = 128 << 20
_ALIGN = 64


class Arena:
    """Best fit with coalescing; addresses are (minus region, offset): mmap places later regions lower."""

    def __init__(self) -> None:
        self._next_region = _FIRST_REGION
        self._n_regions = 0
        self._free: list[tuple[int, int, int]] = []
        self._touched: list[list[tuple[int, int]]] = []

    def take(self, size_bytes: int) -> tuple[int, int, int]:
        """A chunk (region, offset, size) of at least this size."""
        size = -(-max(size_bytes, 1) // _ROUND) * _ROUND
        at = bisect.bisect_left(self._free, (size,))
        if at == len(self._free):
            self._extend(size)
            at = bisect.bisect_left(self._free, (size,))
        whole, region, offset = self._free.pop(at)
        if whole >= 2 * size or whole - size >= _MAX_DEAD:
            bisect.insort(self._free, (whole - size, region, offset + size))
            whole = size
        self._touched[-region].append((offset, offset + size_bytes))
        return region, offset, whole

    def give(self, chunk: tuple[int, int, int]) -> None:
        """Take the chunk back and join it with its free neighbours."""
        region, offset, size = chunk
        beside = [
            f for f in self._free if f[1] == region and (f[2] + f[0] == offset or offset + size == f[2])
        ]
        for near in beside:
            self._free.remove(near)
            offset, size = min(offset, near[2]), size + near[0]
        bisect.insort(self._free, (size, region, offset))

    @property
    def touched_bytes(self) -> int:
        """Bytes that were part of any chunk's tensor, each counted once."""
        total = 0
        for region in self._touched:
            end = 0
            for start, stop in sorted(region):
                total += max(0, stop - max(start, end))
                end = max(end, stop)
        return total

    def _extend(self, size: int) -> None:
        grown = False
        while size > self._next_region:
            self._next_region, grown = 2 * self._next_region, True
        bisect.insort(self._free, (self._next_region, -self._n_regions, 0))
        self._touched.append([])
        self._n_regions += 1
        if not grown:
            self._next_region *= 2


def arena_bytes(buffers: Sequence[Buffer], n_steps: int) -> tuple[int, int]:
    """(bytes written in the first run, and in all runs) for the buffers of a network of `n_steps` kernels."""
    inside = [b for b in buffers if not b.outside and b.size_bytes]
    arena = Arena()
    _run(arena, inside, n_steps)
    first = arena.touched_bytes
    # The pattern has room for the results too, although they get chunks of their own and outlive the block.
    block = arena.take(pattern_bytes(inside)) if inside else None
    _run(arena, [b for b in inside if b.last >= n_steps], n_steps)
    if block is not None:
        arena.give(block)
    return first, arena.touched_bytes


def _run(arena: Arena, buffers: Sequence[Buffer], n_steps: int) -> None:
    ends: dict[int, list[Buffer]] = {}
    starts: dict[int, list[Buffer]] = {}
    for buffer in buffers:
        starts.setdefault(buffer.first, []).append(buffer)
        ends.setdefault(min(buffer.last, n_steps), []).append(buffer)
    held: dict[int, tuple[int, int, int]] = {}
    for step in range(n_steps + 1):
        for buffer in starts.get(step, ()):
            held[id(buffer)] = arena.take(buffer.size_bytes)
        for buffer in ends.get(step, ()):
            arena.give(held.pop(id(buffer)))


def pattern_bytes(buffers: Sequence[Buffer]) -> int:
    """The size of the one block: each buffer in the smallest gap there is when it begins, else at the end."""
    placed: list[tuple[int, int, Buffer]] = []
    peak = 0
    for buffer in sorted(buffers, key=lambda b: b.first):
        size = -(-buffer.size_bytes // _ALIGN) * _ALIGN
        placed = [p for p in placed if p[2].last >= buffer.first]
        at, best, waste = 0, -1, math.inf
        for offset, stop, _ in [*placed, (peak, peak, buffer)]:  # what lies behind the last is a gap too
            if 0 <= offset - at - size < waste:
                best, waste = at, offset - at - size
            at = max(at, stop)
        if best < 0:
            best = max((stop for _, stop, _ in placed), default=0)
        bisect.insort(placed, (best, best + size, buffer), key=lambda p: p[0])
        peak = max(peak, best + size)
    return peak
