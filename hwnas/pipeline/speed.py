"""How fast this machine trains networks of a space, from a few steps that are timed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.network_space import NetworkSpace

_PROBE_PIXELS = 64 * 48**2
"""Of a step that is timed: whole batches of small images, which cost less per image than parts of them."""
_TOWARDS_CHEAPEST = 0.6
"""Where the networks that a search proposes lie between the middle one, at 0, and the cheapest, at 1, by the
logarithm of what they take. It begins evenly between both, and the front leads lower. From seven runs at 32
to 128 px (docs/benchmarks.md, "Photos, and forecasts")."""
_SHARING = 1.1
"""Two processes on neighbouring cores slow each other down through the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Of this machine as busy as it is now.

    image_s: seconds by the clock of one image of training a network of middle size, in one of the processes.
    proposed: the share of it that networks need which a search proposes.
    n_parallel: trainings at a time.
    slowness: seconds by the clock per second of CPU time, at least 1.
    """

    image_s: float
    n_parallel: int
    slowness: float
    proposed: float = 0.4  # of runs planned before it was measured, which may be resumed


def measure_speed(
    space: NetworkSpace,
    n_parallel: int,
    *,
    batch_size: int = 32,
    seed: int = 0,
    rounds: int = 3,
    least_s: float = 2.0,
) -> Speed:
    """Steps of the network of middle size among 31 random ones, and of the cheapest one, in this process.

    batch_size: images of a step; of large images fewer are timed, at least 8.
    rounds, least_s: at least so many steps, and for so long: the others of a busy machine come and go.
    """
    from hwnas.costs.cost_model import CostModel

    rng = np.random.default_rng([seed, 0x5EED])
    archs = [arch for arch in (space.sample(rng) for _ in range(31)) if space.reads_image(arch)]
    costs = CostModel(space)
    order = np.argsort(costs.of(archs)["macs"])
    n_images = min(batch_size, max(8, _PROBE_PIXELS // space.scale.area))
    middle = _step_time(space, archs[int(order[len(archs) // 2])], n_images, rounds, least_s)
    least = costs.minimum("macs")[1]
    # An empty cell costs least, and is nothing that a search trains.
    cheapest = least if space.reads_image(least) else archs[int(order[0])]
    cheap = _step_time(space, cheapest, n_images, rounds, least_s / 2)
    sharing = _SHARING if n_parallel > 1 else 1.0
    return Speed(
        image_s=middle.wall_s / n_images * sharing,
        n_parallel=n_parallel,
        slowness=max(1.0, middle.wall_s / max(middle.cpu_s, 1e-6)),
        proposed=min(1.0, cheap.cpu_s / max(middle.cpu_s, 1e-6)) ** _TOWARDS_CHEAPEST,
    )


@dataclass(frozen=True, slots=True)
class _StepTime:
    """Mean seconds of a step, by the clock and of the CPU."""

    wall_s: float
    cpu_s: float


def _step_time(space: NetworkSpace, arch: Arch, n_images: int, rounds: int, least_s: float) -> _StepTime:
    """Of a step of training without its update, on one thread."""
    import torch

    from hwnas.networks.depthwise import fast_depthwise
    from hwnas.networks.signature import example_of

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), ExitStack() as stack:
            net = space.build(arch).to(memory_format=torch.channels_last).train()
            stack.enter_context(fast_depthwise(net))
            samples = example_of(net, (n_images, *space.scale.sample_shape))

            def step() -> None:
                net(samples).logsumexp(-1).mean().backward()

            step()  # the first one makes what the others use
            began_cpu_s, began_s, n_steps = time.process_time(), time.monotonic(), 0
            while n_steps < rounds or time.monotonic() - began_s < least_s:
                step()
                n_steps += 1
            wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    finally:
        torch.set_num_threads(threads)
    return _StepTime(wall_s / n_steps, cpu_s / n_steps)
