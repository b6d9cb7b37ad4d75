"""The kernels of a network before any layout is chosen: the host's graph at level `extended`."""

from __future__ import annotations

from typing import Any

from targets import Target

LEVEL = "extended"


def extended_kernels(model: bytes, name: str = "the network") -> list[dict[str, Any]]:
    """Load and run the network once on the host; the kernels are the same on every host.

    DamagedFileError where it cannot be loaded, or its shapes are not fixed.
    """
    from profilers.kernels import ProfiledRunner

    target = Target("host-graph", "cpu", threads=1, graph_level=LEVEL, precision="fp32", spinning=False)
    runner = ProfiledRunner(name, model, target, seed=0)
    runner.run(1)
    kernels: list[dict[str, Any]] = runner.finish(0)["kernels"]
    return kernels
