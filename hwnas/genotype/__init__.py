"""Architectures as text in the forms that others publish: read by look, written by name.

A form is a file of two functions, and a row in `FORMS`. All cell forms meet in `edges.py`: kinds of cells,
edges, operations by name. Nothing here is ever evaluated as code. What an architecture is stands in
`hwnas/core/space.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError, did_you_mean

from . import darts, documents, nasbench201
from .graphs import from_graphs, to_graphs

__all__ = ["FORMS", "from_graphs", "read_genotype", "to_graphs", "write_genotype"]


@dataclass(frozen=True, slots=True)
class Form:
    """looks: whether a text is of this form. read, write: to and from an architecture of a space."""

    looks: Callable[[str], bool]
    read: Callable[[CellSpace, str], Arch]
    write: Callable[[CellSpace, Arch], str]


FORMS: dict[str, Form] = {
    "pt.darts": Form(darts.looks_nested, darts.read, darts.write_nested),
    "darts": Form(darts.looks, darts.read, darts.write_flat),
    "nasbench201": Form(nasbench201.looks, nasbench201.read, nasbench201.write),
    "matrix": Form(documents.looks_matrix, documents.read_matrix, documents.write_matrix),
    "json": Form(documents.looks, documents.read_cells, documents.write_cells),
}
"""The published forms. Every space has the form `key` besides: its own string."""


def read_genotype(space: Space, text: str) -> Arch:
    """The architecture of `space` that `text` means, in any form; UsageError says what does not fit."""
    text = text.strip()
    for name, form in FORMS.items():
        if form.looks(text):
            return form.read(_cells(space, name), text)
    return space.canonical(_valid(space, space.from_string(text), text))


def write_genotype(space: Space, arch: Arch, form: str) -> str:
    """`arch` in the form of that name; UsageError for a form that the space does not have."""
    _valid(space, arch, repr(arch))
    if form == "key":
        return space.to_string(arch)
    if form not in FORMS:
        raise UsageError(f"unknown form {form!r} of a genotype; {did_you_mean(form, [*FORMS, 'key'])}")
    return FORMS[form].write(_cells(space, form), arch)


def _cells(space: Space, form: str) -> CellSpace:
    if not isinstance(space, CellSpace):
        raise UsageError(
            f"a genotype of the form {form!r} describes cells, which space {space.name} does not have; its "
            f"architectures read {space.to_string((0,) * len(space.choices))[:60]!r}"
        )
    return space


def _valid(space: Space, arch: Arch, what: str) -> Arch:
    if not space.valid(arch):
        raise UsageError(
            f"{what[:80]} is no architecture of space {space.name}: a node has too few or too many edges"
        )
    return arch
