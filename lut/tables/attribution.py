"""Which block of a network each kernel of its profile belongs to.

The exporter names every node and its outputs by the path of its module. The runtime names a kernel after the
node that it was made from, or after that node's output, so a block is recognised by its prefix. Kernels that
the runtime inserts have no such name and are assigned by order of execution. A change of layout (a reorder)
goes to the block of the next kernel, which needs it. Any other (the pieces that an activation is split into,
quantisation) goes to the block of the kernel before, whose work it finishes. At either end of the network
there is only one neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence

from profilers.kernels import Kernel
from targets.errors import UsageError

LAYOUT_OPS = ("ReorderInput", "ReorderOutput", "Transpose")


def owners(kernels: Sequence[Kernel], prefixes: Sequence[str], network: str) -> list[int]:
    """For each kernel, in order of execution, the index of its block in `prefixes`; none is left out."""
    named = [_by_name(kernel.name, prefixes) for kernel in kernels]
    if all(owner is None for owner in named):
        raise UsageError(
            f"whole network {network}: no kernel has a name that begins with {' or '.join(prefixes[:2])} or "
            "another of its prefixes; nodes and their outputs in the file must begin so"
        )
    before: int | None = None
    for i, kernel in enumerate(kernels):
        if named[i] is None and kernel.op not in LAYOUT_OPS:
            named[i] = before
        before = before if named[i] is None else named[i]
    for i in reversed(range(len(named) - 1)):
        if named[i] is None:
            named[i] = named[i + 1]
    blocks: list[int] = []
    for owner in named:  # only layout changes at the very end are open
        blocks.append(blocks[-1] if owner is None else owner)
    return blocks


def _by_name(name: str, prefixes: Sequence[str]) -> int | None:
    return next((i for i, prefix in enumerate(prefixes) if name.startswith(prefix)), None)
