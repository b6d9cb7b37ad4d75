"""CPU time of the cost of option probabilities, beside a search step, and of the costs of many architectures.

python -m benchmarks.cost [--image-size 32] [--repeats 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.methods import METHODS
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.warmup import make_supernet
from hwnas.spaces import load_space

BATCH = 64
MANY = 1_000_000


class Noise:
    """Random batches: the time of a step does not depend on the images."""

    def __init__(self, channels: int, size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(BATCH, channels, size, size, generator=generator)
        self._batch = (x.to(memory_format=torch.channels_last), torch.arange(BATCH) % 10)

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._batch


def cpu_ms(work: Callable[[], object], repeats: int) -> float:
    """The least CPU milliseconds of the thread over all repeats."""
    times = []
    for _ in range(repeats):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return 1e3 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    space = load_space("mobile", image_size=options.image_size, in_channels=1, n_classes=10)
    costs = CostModel(space)
    archs = [space.sample(np.random.default_rng(i)) for i in range(1000)]
    mix = Mix.one_hot(space.choices, archs[0])
    soft = Mix(tuple(w.clone().requires_grad_() for w in mix.probs), mix.active, mix.probe)

    def price_and_gradient() -> None:
        sum(costs.expected(soft).values(), torch.zeros(())).backward()

    pricing = cpu_ms(price_and_gradient, options.repeats * 10)
    print(f"expected cost of a mix, all {len(costs.metrics)} metrics, with its gradient: {pricing:.3f} ms")
    noise = Noise(1, options.image_size)
    for name in ("proxyless", "darts"):
        settings = SearchSettings(steps=10_000, epoch_steps=10_000, seed=0, arch_every=1)
        search = GradientSearch(
            space, make_supernet(space, 0), costs, (), METHODS[name], noise, noise, settings
        )
        step = 0

        def one_step(search: GradientSearch = search) -> None:
            nonlocal step
            step += 1
            search.run(until=step)

        step_ms = cpu_ms(one_step, options.repeats if name == "proxyless" else 3)
        print(f"search step of {name} (arch and weight step, batch {BATCH}): {step_ms:.1f} ms, "
              f"pricing is {100 * pricing / step_ms:.2f} % of it")  # fmt: skip
    print(f"1000 architectures, all metrics: {cpu_ms(lambda: costs.of(archs), options.repeats):.2f} ms")
    many = np.array(archs)[np.random.default_rng(0).integers(len(archs), size=MANY)]
    tuples = list(map(tuple, many.tolist()))
    print(f"{MANY:,} architectures, all metrics: {cpu_ms(lambda: costs.of(many), 3) / 1e3:.3f} s, "
          f"as tuples {cpu_ms(lambda: costs.of(tuples), 3) / 1e3:.3f} s")  # fmt: skip
    print(f"exact minimum of the space in macs: {cpu_ms(lambda: costs.minimum('macs'), 3):.1f} ms")


if __name__ == "__main__":
    main()
