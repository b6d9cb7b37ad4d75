"""Shared weights over a space: one network that runs every architecture of it.

`make(space, scale, *wrappers)` gives the supernet of a space. It runs the active options of a mix and
knows no search method. Not here: the layers of deployed networks (`networks`) and how shared weights are
trained (`gradient`).
"""

from .cell import CellSupernet
from .macro import MacroSupernet
from .mobile import MobileSupernet
from .pairs import PairSupernet
from .recurrent import RecurrentSupernet
from .supernet import Supernet, make

__all__ = [
    "CellSupernet",
    "MacroSupernet",
    "MobileSupernet",
    "PairSupernet",
    "RecurrentSupernet",
    "Supernet",
    "make",
]
