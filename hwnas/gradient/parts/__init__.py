"""What a row of the method table can name: policies, relaxations, hypergradients, objectives, decoders.

Each part registers itself under the name that rows use, and every module of this folder is imported with the
folder: a new file needs no other change. Not here: what parts share (`gradient.step`), the loop that calls
them (`gradient.search`) and the table itself (`gradient.methods`).
"""

from __future__ import annotations

import importlib
import pkgutil


def register_parts() -> None:
    """Import every module of this folder, so that its parts are in their registries."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


register_parts()
