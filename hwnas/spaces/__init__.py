"""The search spaces, one file each; `load_space` finds them by name or by a TOML file.

`hwnas/core/network_space.py` says what a space is. A new space is a `NetworkSpace` and a row in `SPACES`. Not
here: the layers of its networks (`networks`) and their shared weights (`supernets`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.core.choice import NONE
from hwnas.core.network_space import POOLED, NetworkSpace, Scale
from hwnas.core.samples import SIZES
from targets.errors import UsageError, did_you_mean
from targets.toml_file import read_toml

from .cells import CellSpace
from .darts import DartsSpace, is_large
from .definition import different_names, known, need, positive
from .enas_macro import EnasMacroSpace
from .mobile import MobileSpace, default_width_mult
from .mobile_definition import read_definition
from .nasbench201 import NasBench201Space
from .pnas import PnasSpace
from .recurrent import RecurrentSpace

__all__ = ["SPACES", "load_space"]

_HERE = Path(__file__).parent

TEXT_SPACES = ("recurrent",)
"""Kinds of spaces whose networks read texts, and nothing else."""
SIGNAL_SPACES = ("mobile", "proxyless")
"""Kinds of spaces whose blocks are known for signals too."""


@dataclass(frozen=True, slots=True)
class SpaceRequest:
    """What `load_space` is asked for.

    image_size, in_channels, n_classes, dims: of every network.
    width_mult, cells, channels: None takes the value of the definition.
    head: what the networks end with, a name of `hwnas.networks.heads.HEADS`.
    front: the block that stands before them in their files; empty for none.
    where: the TOML file, for errors.
    file: the path of a user's definition; None for a space of the package.
    """

    image_size: int
    in_channels: int
    n_classes: int
    width_mult: float | None
    cells: int | None
    channels: int | None
    head: str
    where: str
    file: str | None
    dims: int = 2
    front: str = ""


LoadSpace = Callable[[Mapping[str, Any], SpaceRequest], NetworkSpace]
"""(definition, request) -> the space."""


def _layers(raw: Mapping[str, Any], request: SpaceRequest) -> NetworkSpace:
    if request.cells is not None or request.channels is not None:
        raise UsageError(f"{request.where}: a space of layers has no cells; leave out cells and channels")
    width = default_width_mult(request.image_size) if request.width_mult is None else request.width_mult
    if not 0.25 <= width <= 8:
        raise UsageError(f"width multiplier {width} is outside 0.25 to 8")
    scale = Scale(
        image_size=request.image_size,
        in_channels=request.in_channels,
        n_classes=request.n_classes,
        width_mult=width,
        head=request.head,
        dims=request.dims,
        front=request.front,
    )
    return MobileSpace(read_definition(raw, request.where), scale, request.file, raw.get("space", "mobile"))


def _cells(make: type[DartsSpace] | type[NasBench201Space]) -> LoadSpace:
    def load(raw: Mapping[str, Any], request: SpaceRequest) -> CellSpace:
        where = request.where
        known(raw, {"space", "operations", "nodes", "search", "deployed", "deployed_large"}, where)
        operations = different_names(raw, "operations", where)
        if NONE not in operations:
            raise UsageError(f"{where}: operations needs {NONE!r}, for edges that are not there")
        large = is_large(request.image_size) and "deployed_large" in raw
        name = "deployed_large" if large else "deployed"
        deployed = _scale(raw, name, request, request.cells, request.channels)
        search = _scale(raw, "search", request, None, None, affine=False)
        nodes = positive(raw, "nodes", where, allowed=range(2, 9))
        return make(operations, nodes, deployed, search, request.file)

    return load


def _macro(raw: Mapping[str, Any], request: SpaceRequest) -> NetworkSpace:
    known(raw, {"space", "operations", "search", "deployed"}, request.where)
    operations = different_names(raw, "operations", request.where)
    deployed = _scale(raw, "deployed", request, request.cells, request.channels)
    search = _scale(raw, "search", request, deployed.cells, None, affine=False)
    if deployed.cells < 3:
        raise UsageError(f"{request.where}: {deployed.cells} layers are too few; give at least 3")
    return EnasMacroSpace(operations, deployed.cells, deployed, search, request.file)


def _pairs(raw: Mapping[str, Any], request: SpaceRequest) -> NetworkSpace:
    where = request.where
    known(raw, {"space", "operations", "blocks", "search", "deployed", "deployed_large"}, where)
    operations = different_names(raw, "operations", where)
    if NONE in operations:
        raise UsageError(f"{where}: operations cannot have {NONE!r}; a block adds two results")
    large = is_large(request.image_size) and "deployed_large" in raw
    deployed = _scale(
        raw, "deployed_large" if large else "deployed", request, request.cells, request.channels
    )
    search = _scale(raw, "search", request, None, None, affine=False)
    n_blocks = positive(raw, "blocks", where, allowed=range(1, 8))
    return PnasSpace(operations, n_blocks, deployed, search, request.file)


def _recurrent(raw: Mapping[str, Any], request: SpaceRequest) -> NetworkSpace:
    where = request.where
    known(raw, {"space", "operations", "nodes", "widths"}, where)
    if any(value is not None for value in (request.width_mult, request.cells, request.channels)):
        raise UsageError(
            f"{where}: the widths of this space stand in its file; leave out the width multiplier, cells and "
            "channels"
        )
    operations = different_names(raw, "operations", where)
    if NONE not in operations or len(operations) < 2:
        raise UsageError(f"{where}: operations needs {NONE!r}, for edges that are not there, and one more")
    widths = need(raw, "widths", list, where)
    good = all(
        isinstance(width, int) and not isinstance(width, bool) and 2 <= width <= 4096 for width in widths
    )
    if not widths or not good or sorted(set(widths)) != widths:
        raise UsageError(f"{where}: widths must be different numbers in 2 to 4096, rising, got {widths}")
    nodes = positive(raw, "nodes", where, allowed=range(1, 17))
    scale = Scale(request.image_size, request.in_channels, request.n_classes, dims=request.dims)
    return RecurrentSpace(operations, nodes, widths, scale, request.file)


def _scale(
    raw: Mapping[str, Any],
    name: str,
    request: SpaceRequest,
    cells: int | None,
    channels: int | None,
    *,
    affine: bool = True,
) -> Scale:
    if request.width_mult is not None:
        raise UsageError(f"{request.where}: this space has no width multiplier; give channels instead")
    if request.head != POOLED:
        raise UsageError(
            f"{request.where}: networks of cells end with a classifier, and not with the head "
            f"{request.head!r}, which needs maps of two strides; give --space mobile"
        )
    table = need(raw, name, dict, request.where)
    known(table, {"cells", "channels"}, request.where, f"{name}.")
    requested = {"cells": cells, "channels": channels}
    table = table | {k: v for k, v in requested.items() if v is not None}
    allowed = range(1, 101)
    n_cells = positive(table, "cells", request.where, f"{name}.", allowed)
    width = positive(table, "channels", request.where, f"{name}.", range(2, 1025))
    if width % 2:
        raise UsageError(f"{request.where}: {name}.channels = {width} must be even; reductions halve them")
    return Scale(
        image_size=request.image_size,
        in_channels=request.in_channels,
        n_classes=request.n_classes,
        cells=n_cells,
        channels=width,
        affine=affine,
        dims=request.dims,
    )


SPACES: dict[str, LoadSpace] = {
    "mobile": _layers,
    "proxyless": _layers,
    "darts": _cells(DartsSpace),
    "nasbench201": _cells(NasBench201Space),
    "enas-macro": _macro,
    "pnas": _pairs,
    "recurrent": _recurrent,
}
"""How a definition becomes a space. The definition of the space `<name>` is `<name>.toml` beside this file.
Its key `space` names the row; without it the row is `mobile`."""


def _check_samples(name: str, kind: str, size: int, dims: int) -> None:
    """UsageError for samples of a size that there is not, or that the space does not read."""
    if dims not in SIZES:
        raise UsageError(f"{dims} dimensions; allowed: 2 for images, 1 for signals, 0 for texts")
    if size not in SIZES[dims]:
        least, most = SIZES[dims][0], SIZES[dims][-1]
        what = {2: f"image size {size} px", 1: f"signal length {size}", 0: f"piece of {size} symbols"}[dims]
        raise UsageError(f"{what} is outside {least} to {most}")
    if (dims == 0) != (kind in TEXT_SPACES):
        raise UsageError(
            f"space {name} reads images and signals; for --task language give --space {TEXT_SPACES[0]}"
            if dims == 0
            else f"space {name} reads texts; give --task language with it, or another space"
        )
    if dims == 1 and kind not in SIGNAL_SPACES:
        raise UsageError(
            f"space {name} is for images; for windows and sounds there are {', '.join(SIGNAL_SPACES)}, or a "
            "TOML file of stages"
        )


def load_space(
    name: str,
    *,
    image_size: int,
    in_channels: int,
    n_classes: int,
    width_mult: float | None = None,
    cells: int | None = None,
    channels: int | None = None,
    dims: int | None = None,
    head: str = POOLED,
    front: str = "",
) -> NetworkSpace:
    """The space `name`, or the one that the TOML file `name` defines.

    image_size: side in pixels, 16 to 224; of signals their length, 16 to 16384.
    in_channels, n_classes: of every network.
    dims: 2 for images, 1 for signals, 0 for texts; None: texts where the space reads them, else images.
    width_mult: factor on all channels of a space of layers; None: by image size.
    cells, channels: of the deployed network of a cell space; None: as published.
    head: what the networks end with, a name of `hwnas.networks.heads.HEADS`; cell spaces have one.
    front: of signals, the key of the block that stands before networks in their files, as
        `FrontBlock.parse` reads it: its costs are part of theirs.
    Raises UsageError for an unknown name, a bad file or a scale outside its range.
    """
    if name in SPACES:
        path, file = _HERE / f"{name}.toml", None
    elif name.endswith(".toml"):
        path, file = Path(name), name
    else:
        raise UsageError(f"unknown space {name!r}; {did_you_mean(name, SPACES)}, or the path of a TOML file")
    raw = read_toml(path, "space file", "copy the stages of `hwnas spaces show mobile`")
    kind = raw.get("space", "mobile")
    if not isinstance(kind, str):
        raise UsageError(
            f"{path}: space = {kind!r} must be a name in quotes; known: {', '.join(sorted(SPACES))}"
        )
    if kind not in SPACES:
        raise UsageError(f"{path}: unknown space {kind!r}; {did_you_mean(str(kind), SPACES)}")
    reads = 0 if kind in TEXT_SPACES else 2
    dims = reads if dims is None else dims
    _check_samples(name, kind, image_size, dims)
    if front and dims != 1:
        raise UsageError(f"front end {front!r} is for signals; leave it out, or give dims=1")
    request = SpaceRequest(
        image_size=image_size,
        in_channels=in_channels,
        n_classes=n_classes,
        width_mult=width_mult,
        cells=cells,
        channels=channels,
        head=head,
        where=str(path),
        file=file,
        dims=dims,
        front=front,
    )
    return SPACES[kind](raw, request)
