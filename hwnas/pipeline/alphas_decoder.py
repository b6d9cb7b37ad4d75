"""Which architecture alphas mean: the decoder of the method that they were searched by decides."""

from __future__ import annotations

from pathlib import Path

from hwnas.core.registry import Part
from hwnas.gradient.method_file import find_method
from hwnas.gradient.methods import METHODS
from hwnas.runs.identity import is_run, read_identity
from targets.errors import UsageError


def decoder_of(alphas: Path, method: str | None) -> Part | None:
    """The decoder of `method`, or else of the run that the file lies in; None where it lies in none."""
    if method is not None:
        return find_method(method).decode
    name = searched_by(alphas.parent)
    if name is None:
        return None
    if name not in METHODS and not name.endswith(".toml"):
        raise UsageError(f"alphas {alphas}: their search was by {name!r}, from a file; give it with --method")
    return find_method(name).decode


def searched_by(folder: Path) -> str | None:
    """The method of the search whose folder this is, by name or as a TOML file; None where it is of none."""
    if not is_run(folder):
        return None
    name = read_identity(folder).values.get("method")
    return name if isinstance(name, str) else None
