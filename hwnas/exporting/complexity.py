"""What ptflops counts in an exported network, beside what hwnas says that the network costs.

Users compare MACs and parameters with ptflops' numbers. The manifest of a model says both, and whether they
differ. Counting takes 0.1 s a network, and 2 s once for what torch loads to run without computing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hwnas.networks.flops import ptflops_complexity

_ALLOWED = {"macs": 0.01, "params": 0.0}
"""Largest relative difference: ptflops counts a MAC for each value that a bias is added to."""


def compare_with_ptflops(
    module: nn.Module, input_shape: Sequence[int], costs: Mapping[str, float]
) -> dict[str, Any]:
    """MACs and parameters of `module` for one image of `input_shape` (c, h, w), as the manifest holds them.

    `costs` holds the `macs` and `params` of the closed forms, as far as they are known. Where ptflops cannot
    count, `reason` says so and nothing is raised: the exported file is good all the same.
    """
    known = {name: costs[name] for name in ("macs", "params") if name in costs}
    expected = {f"expected_{name}": int(cost) for name, cost in known.items()}
    try:
        macs, params = ptflops_complexity(module, input_shape)
    except Exception as error:  # a foreign tool on any network; only its answer is missing
        return {"macs": None, "params": None, **expected, "differs": None, "reason": str(error)}
    counted = {"macs": macs, "params": params}
    differs = [abs(counted[name] - cost) > _ALLOWED[name] * cost for name, cost in known.items()]
    return {**counted, **expected, "differs": any(differs) if differs else None}
