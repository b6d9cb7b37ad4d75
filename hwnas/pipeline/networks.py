"""A space as what a latency table is made of: blocks to measure, whole networks to calibrate on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

import lut

from ..cost import CostModel
from ..exporting.export import onnx_bytes
from ..mix import Arch
from ..networks.blocks import Priced
from ..space import NetworkSpace

N_WHOLE = 28
"""Whole networks per table: 10 to calibrate on, 18 others to check (`lut` splits them)."""


def parts(space: NetworkSpace) -> list[lut.Part]:
    """Every distinct block of the space, exported when it is asked for."""
    return [
        lut.Part(key, spec.group, spec.features, spec.macs, partial(_block_onnx, spec))
        for key, spec in sorted(space.blocks().items())
    ]


def wholes(space: NetworkSpace, seed: int, n: int = N_WHOLE) -> list[lut.Whole]:
    """Random networks, spread over the range of MACs that the space has."""
    rng = np.random.default_rng([seed, 0x7AB1E])
    return [
        lut.Whole(space.key(arch), space.parts(arch), int(macs), partial(arch_onnx, space, arch))
        for arch, macs in spread_by_macs(space, rng, n)
    ]


def spread_by_macs(space: NetworkSpace, rng: np.random.Generator, n: int) -> list[tuple[Arch, float]]:
    """`n` random architectures at evenly spaced places of log MACs, between the bounds of random ones.

    Uniform draws crowd around the mean; half of these are bred from the ends, so that a line fitted on
    them holds for the whole space.
    """
    pool = [space.sample(rng) for _ in range(400)]
    costs = CostModel(space)
    smallest = costs.minimum("macs")[1]
    order = np.argsort(costs.of(pool)["macs"])
    for end in (smallest, pool[order[-1]]):
        pool += [towards(space, arch, end, rng) for arch in pool[:200]]
    pool = sorted(set(pool))
    macs = costs.of(pool)["macs"]
    places = np.linspace(np.quantile(np.log(macs), 0.005), np.quantile(np.log(macs), 0.995), n)
    free = np.ones(len(pool), dtype=bool)
    chosen = []
    for place in places:
        i = int(np.where(free, np.abs(np.log(macs) - place), np.inf).argmin())
        free[i] = False
        chosen.append((pool[i], float(macs[i])))
    return [chosen[i] for i in rng.permutation(n)]


def towards(space: NetworkSpace, arch: Arch, end: Arch, rng: np.random.Generator) -> Arch:
    """A random architecture with a random share of its options taken from `end`."""
    return space.cross_over(end, arch, rng, share=rng.random())


def _block_onnx(spec: Priced) -> bytes:
    return module_onnx(spec.module(), spec.input_shape)


def arch_onnx(space: NetworkSpace, arch: Arch, batch: int = 1) -> bytes:
    """The exported network of `arch` with fresh weights; latency does not depend on their values."""
    size = space.scale.image_size
    return module_onnx(space.build(arch), (batch, space.scale.in_channels, size, size))


def module_onnx(module: nn.Module, shape: Sequence[int]) -> bytes:
    """The one exporter, on a module whose weights do not matter."""
    with torch.random.fork_rng(devices=[]):
        return onnx_bytes(module, shape)
