"""Seeds of the layers that draw (dropout, drop-path), so that a resumed search is exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Torch's global generators are seeded by `key` inside; afterwards they are what they were."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [g.get_state() for g in generators]
    try:
        for g in generators:
            g.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
        yield
    finally:
        for g, state in zip(generators, states, strict=True):
            g.set_state(state)
