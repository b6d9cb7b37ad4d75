"""The kernels of a network on this machine, from one run; at level `extended` before any layout."""

from __future__ import annotations

from profilers.kernels import Kernel
from targets import Target

HOST_GRAPH = Target("host-graph", "cpu", threads=1, graph_level="extended", precision="fp32", spinning=False)


def run_kernels(model: bytes, target: Target, name: str = "the network") -> list[Kernel]:
    """Load the network in this process under the target's options and run it once; kernels in order.

    DamagedFileError where it cannot be loaded, or its shapes are not fixed.
    """
    from profilers.profiled_runner import ProfiledRunner  # loads onnxruntime

    runner = ProfiledRunner(name, model, target, seed=0)
    runner.run(1)
    return runner.profile(0)[0]


def extended_kernels(model: bytes, name: str = "the network") -> list[Kernel]:
    """The kernels of level `extended`, which knows no layout. Errors as `run_kernels`."""
    return run_kernels(model, HOST_GRAPH, name)
