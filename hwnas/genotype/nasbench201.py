"""The strings of NAS-Bench-201 (2001.00326): `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, one part per node."""

from __future__ import annotations

from hwnas.core.choice import NONE, Arch
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError

from .edges import CellEdges, add_edge, arch_of, edges_of


def matches(text: str) -> bool:
    """Whether it begins like one."""
    return text.startswith("|")


def read(space: CellSpace, text: str) -> Arch:
    """The architecture of a string; every edge is named."""
    _check(space)
    edges: dict[tuple[int, int], str] = {}
    for target, part in enumerate(text.split("+"), 1):
        if len(part) < 2 or part[0] != "|" or part[-1] != "|":
            raise _fault(text)
        for item in part[1:-1].split("|"):
            name, mark, source = item.partition("~")
            if not (mark and source.isascii() and source.isdigit() and len(source) < 4):
                raise _fault(text)
            add_edge(edges, (int(source), target), name, "architecture string")
    arch = arch_of(space, {kind: edges for kind in space.kinds[:1]}, "architecture string")
    if set(edges) != set(space.wiring.edges):
        raise UsageError(
            f"{text[:60]!r} names {len(edges)} of the {len(space.wiring.edges)} edges of {space.name}"
        )
    return arch


def write(space: CellSpace, arch: Arch) -> str:
    """The string of an architecture of a space with one kind of cell and one input."""
    _check(space)
    named: CellEdges = edges_of(space, arch)
    cell = named[space.kinds[0]]
    parts = []
    for target in space.wiring.nodes:
        parts.append("|" + "".join(f"{cell.get((s, target), NONE)}~{s}|" for s in range(target)))
    return "+".join(parts)


def _check(space: CellSpace) -> None:
    if len(space.kinds) != 1 or space.wiring.n_inputs != 1:
        raise UsageError(
            f"a string of NAS-Bench-201 has one kind of cell with one input; space {space.name} has cells "
            f"{', '.join(space.kinds)} with {space.wiring.n_inputs} inputs"
        )


def _fault(text: str) -> UsageError:
    return UsageError(
        f"{text[:60]!r} is no architecture string; one reads '|nor_conv_3x3~0|+|none~0|skip_connect~1|+…', "
        "an operation and a source per edge, nodes joined by '+'"
    )
