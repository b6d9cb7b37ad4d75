"""The policy of every epoch as files, and back to an architecture.

`alphas.npz`: per choice the log-probabilities of its options, (epochs, n_options). On request also one array
per kind of cell, `alpha_<kind>_history.npy`, (epochs, edges, operations); edges by target, then source.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.registry import Part, bound, part
from hwnas.core.space import Space
from hwnas.gradient.parts.decoders import DECODERS, Decoding
from hwnas.gradient.step.ranking import scores_of
from hwnas.spaces.cells import CellSpace
from targets.errors import DamagedFileError, UsageError
from targets.files import read_regular, write_atomic

Alphas = Mapping[str, NDArray[np.float32]]


def alphas_npz(alphas: Alphas) -> bytes:
    """The content of alphas.npz."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **alphas)
    return buffer.getvalue()


def write_histories(folder: Path, space: Space, alphas: Alphas) -> list[str]:
    """Write `alpha_<kind>_history.npy` of each kind of cell; UsageError for a space without cells."""
    require_cells(space)
    assert isinstance(space, CellSpace)
    names = []
    for kind in space.kinds:
        edges = [alphas[f"{kind}.{s}-{t}"] for s, t in space.wiring.edges]
        buffer = io.BytesIO()
        np.save(buffer, np.stack(edges, axis=1), allow_pickle=False)
        names.append(f"alpha_{kind}_history.npy")
        write_atomic(folder / names[-1], buffer.getvalue())
    return names


def require_cells(space: Space) -> None:
    """UsageError where there is no array of edges and operations to write."""
    if not isinstance(space, CellSpace):
        raise UsageError(
            f"alpha_<kind>_history.npy is of cells, which space {space.name} does not have; alphas.npz has "
            "the same numbers by choice"
        )


def read_alphas(
    path: Path, space: Space, warn: Callable[[str], None] = lambda text: None
) -> dict[str, NDArray[np.float32]]:
    """What `alphas_npz` or `write_histories` wrote of a search in `space`.

    warn: gets a line where a kind of cell has no file, and is taken to be like the one that has.
    UsageError when it is of another space, DamagedFileError when it holds no arrays of numbers.
    """
    content = _load(path)
    found = content if isinstance(content, dict) else _from_histories(path, content, space, warn)
    wanted = {c.name: len(c.options) for c in space.choices}
    shapes = {name: array.shape for name, array in found.items()}
    epochs = {shape[0] for shape in shapes.values() if len(shape) == 2}
    if {n: s[1] for n, s in shapes.items() if len(s) == 2} != wanted or len(epochs) != 1:
        raise UsageError(
            f"alphas {path}: they are not of space {space.name}, which has {len(wanted)} choices "
            f"({space.choices[0].name}, …); the file has {len(found)} ({next(iter(found), 'none')}, …)"
        )
    return found


_KNOWN = "alphas.npz of a search, or its alpha_<kind>_history.npy"
_MOST_BYTES = 1_000_000_000
"""A history of alphas has some megabytes."""


def _load(path: Path) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
    """The array of an .npy file, or the arrays of an .npz file by name."""
    try:
        # From memory: numpy leaves the file open when it is no .npz.
        stored = np.load(io.BytesIO(read_regular(path, _MOST_BYTES)), allow_pickle=False)
        arrays = {name: stored[name] for name in stored.files} if hasattr(stored, "files") else {"": stored}
        if not all(isinstance(a, np.ndarray) and a.dtype.kind in "fiu" for a in arrays.values()):
            raise ValueError("it holds something else than arrays of numbers, as torch.save writes it")
    except FileNotFoundError:
        raise UsageError(f"alphas {path}: there is no such file; give {_KNOWN}") from None
    except Exception as error:  # numpy and zipfile raise whatever their parts raise on damaged bytes
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DamagedFileError(
            f"alphas {path}: cannot be read as .npz or .npy ({reason}); give {_KNOWN}"
        ) from None
    return arrays if hasattr(stored, "files") else arrays[""]


def _from_histories(
    path: Path, array: NDArray[np.float32], space: Space, warn: Callable[[str], None]
) -> dict[str, NDArray[np.float32]]:
    """The alphas by choice, from `alpha_<kind>_history.npy` and those of the other kinds beside it."""
    require_cells(space)
    assert isinstance(space, CellSpace)
    named = re.fullmatch(r"(.*)alpha_(\w+)_history\.npy", path.name)
    kind = named[2] if named else space.kinds[0] if len(space.kinds) == 1 else ""
    if kind not in space.kinds:
        names = ", ".join(f"alpha_{kind}_history.npy" for kind in space.kinds)
        raise UsageError(f"alphas {path}: its name does not say which cell it is of; name it {names}")
    alphas = {}
    for other in space.kinds:
        place = (
            path if other == kind or named is None else path.with_name(f"{named[1]}alpha_{other}_history.npy")
        )
        if not place.exists():
            warn(
                f"alphas {path}: they are of the {kind} cell alone, so the {other} cell is taken to be like "
                f"it; for one of its own put {place.name} beside it, or give alphas.npz of the search"
            )
            place = path
        part_of = array if place == path else _load(place)
        wanted = (len(space.wiring.edges), len(space.operations))
        if isinstance(part_of, dict) or part_of.ndim != 3 or part_of.shape[1:] != wanted:
            shape = "several arrays" if isinstance(part_of, dict) else part_of.shape
            raise UsageError(
                f"alphas {place}: (epochs, {wanted[0]} edges, {wanted[1]} operations) are those of space "
                f"{space.name}, not {shape}"
            )
        for i, (s, t) in enumerate(space.wiring.edges):
            alphas[f"{other}.{s}-{t}"] = part_of[:, i]
    return alphas


def arch_at(space: Space, alphas: Alphas, epoch: int | None = None, decode: Part | None = None) -> Arch:
    """The architecture after `epoch`, counted from 1 (None: the last).

    decode: a method's own (None: the most probable); UsageError for one that asks more than probabilities.
    """
    epochs = len(next(iter(alphas.values())))
    number = epochs if epoch is None else epoch
    if not 1 <= number <= epochs:
        raise UsageError(f"epoch {number} is not among the {epochs} of these alphas; give 1 to {epochs}")
    logs = [alphas[c.name][number - 1].astype(np.float64) for c in space.choices]
    decode = part("argmax") if decode is None else decode

    def unknown(*_: Any) -> Any:
        raise UsageError(
            f"decoding by {decode} needs the supernet of the search, which alphas do not hold; take the "
            "result of the search, or leave the method away for the most probable architecture"
        )

    every = tuple(tuple(range(len(c.options))) for c in space.choices)
    soft = Mix(tuple(torch.from_numpy(log).exp() for log in logs), every, tuple(() for _ in every))
    scores = scores_of(logs, space.choices)
    view = Decoding(space, scores, soft, unknown, unknown, unknown, np.random.default_rng(0))
    return space.canonical(bound(DECODERS, decode)(view))
