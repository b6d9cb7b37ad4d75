"""What ptflops counts in an exported network, beside what hwnas says that the network costs.

Users compare MACs and parameters with ptflops' numbers. The manifest of a model says both, and whether they
differ. Counting takes 0.1 s a network, and 2 s once for what torch loads to run without computing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hwnas.networks.flops import ptflops_complexity

BIAS_SHARE = 0.01
"""By how much MACs may differ: ptflops counts biases, the closed forms do not."""


def compare_with_ptflops(
    module: nn.Module, input_shape: Sequence[int], costs: Mapping[str, float]
) -> dict[str, Any]:
    """MACs and parameters of `module` for one image of `input_shape` (c, h, w), as the manifest holds them.

    `costs` holds the `macs` and `params` of the closed forms. What ptflops cannot count is said in `reason`
    and does not fail: the exported file is as good without.
    """
    expected = {"expected_macs": int(costs["macs"]), "expected_params": int(costs["params"])}
    try:
        macs, params = ptflops_complexity(module, input_shape)
    except Exception as error:  # a foreign tool on any network; only its answer is missing
        return {"macs": None, "params": None, **expected, "differs": None, "reason": str(error)}
    differs = params != expected["expected_params"] or abs(macs - costs["macs"]) > BIAS_SHARE * costs["macs"]
    return {"macs": macs, "params": params, **expected, "differs": differs}
