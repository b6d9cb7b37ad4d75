"""What a device *is*: its description, how to reach it, its execution context.

Standard library only, because this folder travels to boards. The root error class and the
atomic file helpers live here too: they are what every other layer stands on. How a device is
measured lives in `profilers`, what was measured in `lut`.
"""

from .context import Context, host_facts, make_context
from .reach import Reach
from .target import PROVIDERS, Target, known_targets, load_target, target_file

__all__ = [
    "PROVIDERS",
    "Context",
    "Reach",
    "Target",
    "host_facts",
    "known_targets",
    "load_target",
    "make_context",
    "target_file",
]
