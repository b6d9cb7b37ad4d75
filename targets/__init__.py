"""What a device is: its description, how to reach it, the context of its measurements.

`target`, `reach` and `known/` describe devices; `connect` opens a transport (`ssh`, `adb`, or this machine).
`errors` and `files` are here too, because every other layer uses them. Only the standard library is needed:
this folder travels to boards. How a device is measured lives in `profilers`, what was measured in `lut`.
"""

from .context import Context, host_facts, make_context
from .int8_form import Int8Form, default_form
from .reach import Reach
from .target import PROVIDERS, Target, known_targets, load_target, target_file

__all__ = [
    "PROVIDERS",
    "Context",
    "Int8Form",
    "Reach",
    "Target",
    "default_form",
    "host_facts",
    "known_targets",
    "load_target",
    "make_context",
    "target_file",
]
