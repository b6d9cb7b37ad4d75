"""The search spaces, one file each; `load_space` finds them by name or by a TOML file.

What a space is stands in `hwnas/core/space.py`. A new space is a `NetworkSpace` and a row in `SPACES`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.core.choice import NONE
from hwnas.core.space import NetworkSpace, Scale
from targets.errors import UsageError, did_you_mean

from .cells import CellSpace
from .darts import DartsSpace, is_large
from .definition import different_names, known, need, positive
from .enas_macro import EnasMacroSpace
from .mobile import MobileSpace, default_width_mult, read_definition
from .nasbench201 import NasBench201Space

__all__ = ["SPACES", "load_space"]

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Asked:
    """What `load_space` was asked for; None takes the definition's value. where: the TOML file, for errors.

    file: the path of a user's definition, None for one of ours.
    """

    image_size: int
    in_channels: int
    n_classes: int
    width_mult: float | None
    cells: int | None
    channels: int | None
    where: str
    file: str | None


Load = Callable[[Mapping[str, Any], Asked], NetworkSpace]


def _layers(raw: Mapping[str, Any], asked: Asked) -> NetworkSpace:
    if asked.cells is not None or asked.channels is not None:
        raise UsageError(f"{asked.where}: a space of layers has no cells; leave out cells and channels")
    width = default_width_mult(asked.image_size) if asked.width_mult is None else asked.width_mult
    if not 0.25 <= width <= 8:
        raise UsageError(f"width multiplier {width} is outside 0.25 to 8")
    scale = Scale(asked.image_size, asked.in_channels, asked.n_classes, width)
    return MobileSpace(read_definition(raw, asked.where), scale, asked.file, raw.get("space", "mobile"))


def _cells(make: type[DartsSpace] | type[NasBench201Space]) -> Load:
    def load(raw: Mapping[str, Any], asked: Asked) -> CellSpace:
        where = asked.where
        known(raw, {"space", "operations", "nodes", "search", "deployed", "deployed_large"}, where)
        operations = different_names(raw, "operations", where)
        if NONE not in operations:
            raise UsageError(f"{where}: operations needs {NONE!r}, for edges that are not there")
        large = is_large(asked.image_size) and "deployed_large" in raw
        deployed = _scale(raw, "deployed_large" if large else "deployed", asked, asked.cells, asked.channels)
        search = _scale(raw, "search", asked, None, None, affine=False)
        nodes = positive(raw, "nodes", where, allowed=range(2, 9))
        return make(operations, nodes, deployed, search, asked.file)

    return load


def _macro(raw: Mapping[str, Any], asked: Asked) -> NetworkSpace:
    known(raw, {"space", "operations", "search", "deployed"}, asked.where)
    operations = different_names(raw, "operations", asked.where)
    deployed = _scale(raw, "deployed", asked, asked.cells, asked.channels)
    search = _scale(raw, "search", asked, deployed.cells, None, affine=False)
    if deployed.cells < 3:
        raise UsageError(f"{asked.where}: {deployed.cells} layers are too few; give at least 3")
    return EnasMacroSpace(operations, deployed.cells, deployed, search, asked.file)


def _scale(
    raw: Mapping[str, Any],
    name: str,
    asked: Asked,
    cells: int | None,
    channels: int | None,
    *,
    affine: bool = True,
) -> Scale:
    if asked.width_mult is not None:
        raise UsageError(f"{asked.where}: this space has no width multiplier; give channels instead")
    table = need(raw, name, dict, asked.where)
    known(table, {"cells", "channels"}, asked.where, f"{name}.")
    given = {"cells": cells, "channels": channels}
    table = table | {k: v for k, v in given.items() if v is not None}
    allowed = range(1, 101)
    n_cells = positive(table, "cells", asked.where, f"{name}.", allowed)
    width = positive(table, "channels", asked.where, f"{name}.", range(2, 1025))
    if width % 2:
        raise UsageError(f"{asked.where}: {name}.channels = {width} must be even; reductions halve them")
    return Scale(
        asked.image_size,
        asked.in_channels,
        asked.n_classes,
        cells=n_cells,
        channels=width,
        affine=affine,
    )


SPACES: dict[str, Load] = {
    "mobile": _layers,
    "proxyless": _layers,
    "darts": _cells(DartsSpace),
    "nasbench201": _cells(NasBench201Space),
    "enas-macro": _macro,
}
"""How a definition becomes the space. A space's own is `<name>.toml` beside this file; the key `space` in
a definition names the row, `mobile` when it is missing."""


def load_space(
    name: str,
    *,
    image_size: int,
    in_channels: int,
    n_classes: int,
    width_mult: float | None = None,
    cells: int | None = None,
    channels: int | None = None,
) -> NetworkSpace:
    """The space `name`, or the one that the TOML file `name` defines.

    Image_size: side in pixels, 16 to 224. width_mult: factor on all channels (None: by image size) of a
    space of layers. cells, channels: of the deployed network of a cell space (None: as published).
    Raises UsageError for an unknown name, a bad file or a scale outside its range.
    """
    if not 16 <= image_size <= 224:
        raise UsageError(f"image size {image_size} px is outside 16 to 224")
    if name in SPACES:
        path, file = _HERE / f"{name}.toml", None
    elif name.endswith(".toml"):
        path, file = Path(name), name
    else:
        raise UsageError(f"unknown space {name!r}; {did_you_mean(name, SPACES)}, or the path of a TOML file")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; copy the stages of `hwnas spaces show mobile`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    kind = raw.get("space", "mobile")
    if kind not in SPACES:
        raise UsageError(f"{path}: unknown space {kind!r}; {did_you_mean(str(kind), SPACES)}")
    asked = Asked(image_size, in_channels, n_classes, width_mult, cells, channels, str(path), file)
    return SPACES[kind](raw, asked)
