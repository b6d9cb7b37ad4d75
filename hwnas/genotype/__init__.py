"""Architectures as text in the forms that others publish: recognised on reading, named on writing.

Each form has functions that recognise, read and write it, and a row in `FORMS`. All go through `edges.py`:
per kind of cell, edges with operations by name. Text is parsed, never run. What an architecture is stands in
`hwnas/core/space.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError, did_you_mean

from . import darts, documents, nasbench201

__all__ = ["FORMS", "read_genotype", "write_genotype"]


@dataclass(frozen=True, slots=True)
class GenotypeForm:
    """matches: whether a text is of this form. read, write: to and from an architecture of a space."""

    matches: Callable[[str], bool]
    read: Callable[[CellSpace, str], Arch]
    write: Callable[[CellSpace, Arch], str]


FORMS: dict[str, GenotypeForm] = {
    "pt.darts": GenotypeForm(darts.matches_nested, darts.read, darts.write_nested),
    "darts": GenotypeForm(darts.matches, darts.read, darts.write_flat),
    "nasbench201": GenotypeForm(nasbench201.matches, nasbench201.read, nasbench201.write),
    "matrix": GenotypeForm(documents.matches_matrix, documents.read_matrix, documents.write_matrix),
    "json": GenotypeForm(documents.matches, documents.read_cells, documents.write_cells),
}
"""The published forms, the more special first. Every space also has the form `key`: its own string."""


def read_genotype(space: Space, text: str) -> Arch:
    """The architecture of `space` that `text` means, in any form; UsageError says what does not fit."""
    text = _bare(text)
    for name, form in FORMS.items():
        if form.matches(text):
            try:
                return form.read(_cells(space, name), text)
            except UsageError as error:
                raise UsageError(f"{error}; in {space.name} one reads {_example(space, name)}") from None
    if _INDICES.fullmatch(text):
        arch = tuple(int(number) for number in re.findall(r"\d+", text))
        return space.canonical(_valid(space, arch, text))
    if text.isidentifier():
        raise UsageError(
            f"{text!r} is no architecture of space {space.name}, it may be the name of one: give what it "
            f"stands for; one reads {_example(space, 'darts')}"
        )
    return space.canonical(_valid(space, space.from_string(text), text))


_INDICES = re.compile(r"[(\[]?\s*\d{1,9}(\s*,\s*\d{1,9})+\s*,?\s*[)\]]?")
"""An option per choice by its place, as tables of NAS-Bench-201 print them."""


def _bare(text: str) -> str:
    """The genotype in a line of code or of a log: `NAME = Genotype(…)`, `Structure(4 nodes with |…|)`."""
    text = text.strip()
    call = re.match(r"[^()\[\]{}'\"|]*?\b(?=Genotype\s*\()", text)
    if call:
        return text[call.end() :].rstrip(" ;.")
    structure = re.fullmatch(r"[^|]*(\|.*\|)[^|]*", text, re.DOTALL)
    return structure[1] if structure and "~" in structure[1] and not text.startswith("{") else text


def _example(space: Space, form: str = "key") -> str:
    """An architecture of the space, in the form where the space has it."""
    arch = space.sample(np.random.default_rng(0))
    for name in (form, "key"):
        try:
            return repr(write_genotype(space, arch, name))
        except UsageError:
            continue
    return repr(space.to_string(arch))


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
            f"a genotype of the form {form!r} describes cells, which space {space.name} does not have"
        )
    return space


def _valid(space: Space, arch: Arch, what: str) -> Arch:
    if not space.valid(arch):
        raise UsageError(
            f"{what[:80]} is no architecture of space {space.name}: it has another number of choices "
            f"than {len(space.choices)}, an option that is none, or a node with too few or too many edges; "
            f"one reads {_example(space)}"
        )
    return arch
