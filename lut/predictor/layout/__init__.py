"""Which kernels a target runs, worked out on another machine: the graph of level `extended`, then the layout.

`extended_kernels` makes the layout-neutral list on the host (`run_kernels`: of any level), `apply_rule`
rewrites it as the target's onnxruntime would (`blocked`: NCHWc, `channels_last`: int8, `residual`: sums in
plain convolutions), and `learn_rule` finds the few values in which targets and builds differ from networks
that the target did run. `fidelity` compares. What a kernel costs is no concern of this package.
"""

from .apply import apply_rule
from .compare import Fidelity, fidelity, fidelity_table
from .host_graph import HOST_GRAPH, extended_kernels, run_kernels
from .learn import learn_rule
from .rule import LayoutRule

__all__ = [
    "HOST_GRAPH",
    "Fidelity",
    "LayoutRule",
    "apply_rule",
    "extended_kernels",
    "fidelity",
    "fidelity_table",
    "learn_rule",
    "run_kernels",
]
