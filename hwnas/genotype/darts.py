"""The `Genotype(normal=…, normal_concat=…, reduce=…, reduce_concat=…)` of DARTS and its successors.

pt.darts lists the edges node by node, `[[('max_pool_3x3', 0), ('sep_conv_3x3', 1)], …]`; quark0/darts and
most others in one row, two per node. Read as literals: the text is parsed, never run.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from hwnas.core.choice import Arch
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError

from .edges import CellEdges, add_edge, arch_of, edges_of

_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_LONGEST = 20_000


def matches(text: str) -> bool:
    """Whether it begins like one."""
    return text.startswith("Genotype")


def matches_nested(text: str) -> bool:
    """Whether it begins like one of pt.darts."""
    return re.match(r"Genotype\s*\(\s*normal\s*=\s*\[\s*\[", text) is not None


def read(space: CellSpace, text: str) -> Arch:
    """The architecture of a genotype of either form."""
    fields = _fields(text)
    _require_kinds(space)
    edges: CellEdges = {}
    for kind in ("normal", "reduce"):
        nodes = _nodes(fields[kind], kind)
        edges[kind] = {}
        for target, node in enumerate(nodes, space.wiring.n_inputs):
            for name, source in node:
                add_edge(edges[kind], (source, target), name, f"genotype, {kind} cell")
        _check_concat(space, fields[f"{kind}_concat"], kind)
    return arch_of(space, edges, "genotype")


def _fields(text: str) -> dict[str, Any]:
    """The four keywords of the call as plain values."""
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"{len(text)} characters")
        call = ast.parse(text, mode="eval").body
        if not (
            isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"
        ):
            raise ValueError("it is not a call of Genotype")
        named = {str(k.arg): k.value for k in call.keywords}
        # Successors have more fields, which say nothing where they are None.
        kept = {name: node for name, node in named.items() if name in _FIELDS or not _is_none(node)}
        fields = dict(zip(_FIELDS, call.args, strict=False)) | kept
        if set(fields) != set(_FIELDS) or len(call.args) + len(kept) != len(_FIELDS):
            raise ValueError(f"its fields are {', '.join(sorted(fields))}")
        return {name: _value(node) for name, node in fields.items()}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"{text[:60]!r} is no genotype: {reason}") from None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


_NUMBER = re.compile(r"(np\.|numpy\.)?(int|u?int(8|16|32|64)|str_?)")
"""Calls that numpy 2 prints around numbers and texts."""


def _value(node: ast.expr) -> Any:
    """A literal, the numbers of range(a, b), or what `list(…)` and `np.int64(…)` hold."""
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    name = ast.unparse(node.func)
    if not node.keywords and len(node.args) == 1 and (name in ("list", "tuple") or _NUMBER.fullmatch(name)):
        return _value(node.args[0])
    if not node.keywords and name == "range" and len(node.args) in (1, 2):
        bounds = [_value(a) for a in node.args]
        if all(type(b) is int and 0 <= b <= 100 for b in bounds):
            return list(range(*bounds))
    raise ValueError(f"{ast.unparse(node)[:60]} is neither a list nor a number")


def _shown(value: Any) -> str:
    """The beginning of the value as text."""
    try:
        return str(value)[:60]
    except ValueError:  # a number of thousands of digits, as `0xfff…` makes one, is not shown by Python
        return "a number of thousands of digits"


def _nodes(cell: Any, kind: str) -> list[list[tuple[str, int]]]:
    """Per node its edges as (operation, source)."""
    fault = UsageError(f"genotype, {kind} cell: {_shown(cell)} is no list of ('operation', source) pairs")
    if not isinstance(cell, (list, tuple)) or not cell:
        raise fault
    nested = all(
        isinstance(n, list) or (isinstance(n, tuple) and n and isinstance(n[0], tuple)) for n in cell
    )
    nodes = [list(n) for n in cell] if nested else [list(cell[i : i + 2]) for i in range(0, len(cell), 2)]
    for pair in (p for node in nodes for p in node):
        if not (
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and type(pair[0]) is str
            and type(pair[1]) is int
        ):
            raise fault
    return [[(p[0], p[1]) for p in node] for node in nodes]


def _check_concat(space: CellSpace, concat: Any, kind: str) -> None:
    nodes = list(space.wiring.nodes)
    if not isinstance(concat, (list, tuple)) or sorted(map(repr, concat)) != sorted(map(repr, nodes)):
        raise UsageError(
            f"genotype: {kind}_concat is {concat!r}; the cells of space {space.name} put all nodes "
            f"{nodes} side by side"
        )


def write_nested(space: CellSpace, arch: Arch) -> str:
    """As pt.darts writes it."""
    return _write(space, arch, nested=True)


def write_flat(space: CellSpace, arch: Arch) -> str:
    """As quark0/darts writes it."""
    return _write(space, arch, nested=False)


def _require_kinds(space: CellSpace) -> None:
    if space.kinds != ("normal", "reduce"):
        raise UsageError(
            f"genotype: Genotype(...) has normal and reduce cells; space {space.name} has cells "
            f"{', '.join(space.kinds)}: it is of another space, such as darts"
        )


def _write(space: CellSpace, arch: Arch, *, nested: bool) -> str:
    _require_kinds(space)
    nodes, parts = space.wiring.nodes, []
    for kind, cell in edges_of(space, arch).items():
        rows = [[(name, s) for (s, t), name in cell.items() if t == node] for node in nodes]
        shown = rows if nested else [pair for row in rows for pair in row]
        parts.append(f"{kind}={shown!r}, {kind}_concat=range({nodes[0]}, {nodes[-1] + 1})")
    return f"Genotype({', '.join(parts)})"
