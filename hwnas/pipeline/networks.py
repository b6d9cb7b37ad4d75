"""A space as what a latency table is made of: blocks to measure, whole networks to calibrate on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lut
from hwnas.core.block import Block
from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.exporting.export import EXPORTER, onnx_bytes
from hwnas.exporting.front_end import JOINT, OUT, joined, named_as_front
from hwnas.networks.front_blocks import FrontBlock
from hwnas.networks.modules import module_of
from hwnas.runs.log import Log
from lut.tables.request import BLOCK_LEVEL, IN_CONTEXT
from targets import Target

N_WHOLE = 28
"""Whole networks per table: one half to calibrate on, the other to check (`lut` splits them)."""

MINUTES, _BLOCKS, _PIXELS = 0.8, 40, 56
"""What a table takes: 0.8 minutes for `mobile` at 32 px (measured: 0.8 suffice, and 3.5 at 224 px), and in
proportion to the blocks of a network from 40 on, which are exported, and to the side from 56 px on."""

SEEN_OFTEN = 4
"""Occurrences of every block that the networks of `covering` hold, so that its price is a median."""


def default_minutes(space: NetworkSpace) -> float:
    """Minutes of profiling that suffice for a table of this space."""
    blocks = len(space.block_keys(space.sample(np.random.default_rng(0))))
    return round(MINUTES * max(1, blocks / _BLOCKS) * max(1, math.sqrt(space.scale.area) / _PIXELS), 1)


def latency_table(
    space: NetworkSpace,
    target: Target,
    *,
    minutes: float | None,
    home: Path,
    seed: int,
    log: Log,
    batch: int = 1,
    method: str = BLOCK_LEVEL,
    accept_noise: bool = False,
) -> lut.SpaceTable:
    """The table of a space on a target: reused where one of this context exists, else measured.

    minutes: None for as many as the space needs. batch: images per inference. method: how blocks are priced.
    accept_noise: on a disturbed machine too. See `lut.space_table`, which also says what is raised.
    """
    return lut.space_table(
        target,
        space.space_id,
        parts(space, batch),
        wholes(space, seed, batch=batch),
        minutes=default_minutes(space) if minutes is None else minutes,
        home=home,
        exporter=exporter(batch),
        seed=seed,
        log=log,
        progress=log.progress,
        method=method,
        accept_noise=accept_noise,
        profiled=covering(space, seed, batch) if method == IN_CONTEXT else (),
    )


def exporter(batch: int) -> str:
    """Who made the files of a table, and for which batch size: part of its context."""
    return EXPORTER if batch == 1 else f"{EXPORTER}, batch {batch}"


def parts(space: NetworkSpace, batch: int = 1) -> list[lut.TableBlock]:
    """Every distinct block of the space, exported when it is asked for."""
    return [
        lut.TableBlock(
            key=key,
            group=spec.group,
            features=_features(spec, batch),
            macs=batch * spec.macs,
            onnx=partial(_block_onnx, spec, batch),
        )
        for key, spec in sorted(space.blocks().items())
    ]


def _features(spec: Block, batch: int) -> dict[str, float]:
    """Those of one image; work and traffic grow with the batch, weights do not."""
    one = spec.features
    work = {name: batch * one[name] for name in ("macs", "depthwise_macs") if name in one}
    return {**one, **work, "bytes": batch * one["bytes"] - (batch - 1) * one["weight_bytes"]}


def wholes(space: NetworkSpace, seed: int, n: int = N_WHOLE, batch: int = 1) -> list[lut.TableNetwork]:
    """Random networks, spread over the range of MACs that the space has."""
    rng = np.random.default_rng([seed, 0x7AB1E])
    return [_whole(space, arch, batch) for arch, _ in spread_by_macs(space, rng, n)]


def covering(
    space: NetworkSpace, seed: int, batch: int = 1, often: int = SEEN_OFTEN
) -> list[lut.TableNetwork]:
    """Random networks in which every block of the space occurs `often` times; each prefix covers evenly."""
    rng = np.random.default_rng([seed, 0xC0FE])
    seen = dict.fromkeys(space.blocks(), 0)
    # Where a block stands: the choices, and the options of these.
    places: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {key: [] for key in seen}
    for position in space.positions:
        for options, key in np.ndenumerate(position.keys):
            if key is not None:
                places[key].append((position.choices, options))
    archs: dict[Arch, None] = {}
    for _ in range(often * len(seen)):
        key = min(seen, key=seen.__getitem__)
        if seen[key] >= often:
            break
        choices, options = places[key][rng.integers(len(places[key]))]
        arch = list(space.sample(rng))
        for choice, option in zip(choices, options, strict=True):
            arch[choice] = option
        made = space.canonical(tuple(arch))
        if not space.reads_image(made):
            continue
        for part in space.block_keys(made):
            seen[part] += 1
        archs[made] = None
    return [_whole(space, arch, batch) for arch in archs]


def _whole(space: NetworkSpace, arch: Arch, batch: int) -> lut.TableNetwork:
    keys = space.block_keys(arch)
    macs = batch * sum(space.blocks()[key].macs for key in keys)
    onnx = partial(arch_onnx, space, arch, batch)
    return lut.TableNetwork(
        key=space.key(arch), blocks=keys, macs=macs, onnx=onnx, prefixes=space.prefixes(arch)
    )


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
    # The runtime folds what no image reaches into constants, which has no price.
    pool = sorted({arch for arch in pool if space.reads_image(arch)})
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


def _block_onnx(spec: Block, batch: int) -> bytes:
    more = [(batch, *shape[1:]) for shape in spec.more_inputs]
    file = module_onnx(module_of(spec), (batch, *spec.input_shape[1:]), more)
    return named_as_front(file) if isinstance(spec, FrontBlock) else file


def arch_onnx(space: NetworkSpace, arch: Arch, batch: int = 1) -> bytes:
    """The exported network of `arch` with fresh weights; latency does not depend on their values."""
    return network_onnx(space.build(arch), (batch, *space.scale.sample_shape), space.scale.front)


def network_onnx(module: nn.Module, shape: Sequence[int], front: str) -> bytes:
    """A network that takes `shape` behind the front end of that key; behind none where it is empty."""
    if not front:
        return module_onnx(module, shape)
    block = FrontBlock.parse(front)
    with torch.random.fork_rng(devices=[]):
        raw = onnx_bytes(module_of(block), (shape[0], *block.input_shape[1:]), output_name=OUT)
        return joined(raw, onnx_bytes(module, shape, input_name=JOINT))


def module_onnx(module: nn.Module, shape: Sequence[int], more_inputs: Sequence[Sequence[int]] = ()) -> bytes:
    """The one exporter, on a module whose weights do not matter."""
    with torch.random.fork_rng(devices=[]):
        return onnx_bytes(module, shape, more_inputs=more_inputs)
