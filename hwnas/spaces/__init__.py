"""The search spaces, one file each; `load_space` finds them by name or by a TOML file of stages.

What a space is stands in `hwnas/space.py`. A new space is a `NetworkSpace` and a row in `SPACES`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from targets.errors import UsageError, did_you_mean

from ..space import NetworkSpace, Scale
from .mobile import MobileSpace, default_width_mult, read_definition

__all__ = ["SPACES", "load_space"]

_HERE = Path(__file__).parent


def _mobile(raw: dict[str, Any], where: str, scale: Scale, file: str | None) -> NetworkSpace:
    return MobileSpace(read_definition(raw, where), scale, file)


SPACES: dict[str, Callable[[dict[str, Any], str, Scale, str | None], NetworkSpace]] = {"mobile": _mobile}
"""How the definition of a space becomes the space; its own definition is `<name>.toml` beside this file."""


def load_space(
    name: str, *, image_size: int, in_channels: int, n_classes: int, width_mult: float | None = None
) -> NetworkSpace:
    """The space `name`, or the `mobile` space with the stages of the TOML file `name`.

    Image_size: side in pixels, 16 to 224. width_mult: factor on all channels (None: by image size).
    Raises UsageError for an unknown name, a bad file or a scale outside its range.
    """
    if not 16 <= image_size <= 224:
        raise UsageError(f"image size {image_size} px is outside 16 to 224")
    width_mult = default_width_mult(image_size) if width_mult is None else width_mult
    if not 0.25 <= width_mult <= 8:
        raise UsageError(f"width multiplier {width_mult} is outside 0.25 to 8")
    scale = Scale(image_size, in_channels, n_classes, width_mult)
    if name in SPACES:
        path, kind, file = _HERE / f"{name}.toml", name, None
    elif name.endswith(".toml"):
        path, kind, file = Path(name), "mobile", name
    else:
        raise UsageError(
            f"unknown space {name!r}; {did_you_mean(name, SPACES)}, or the path of a TOML file of stages"
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; copy the stages of `hwnas spaces show mobile`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    return SPACES[kind](raw, str(path), scale, file)
