"""What this device is and has: the facts of a context, and what `hwnas targets check` asks for."""

from __future__ import annotations

import importlib
import platform
import sys
from pathlib import Path
from typing import Any

from targets import host_facts
from targets.conditions import conditions, free_bytes

from .energy import energy_report


def device_facts() -> dict[str, Any]:
    """All facts of this machine and its runtime that may change a latency."""
    from .session import runtime_facts

    return {**host_facts(), **runtime_facts()}


def inventory(folder: Path) -> dict[str, Any]:
    """What measuring needs, as found here: versions (None: not importable), providers, space, sensors."""
    versions: dict[str, Any] = {}
    for package in ("numpy", "onnxruntime"):
        try:
            versions[package] = str(importlib.import_module(package).__version__)
        except ImportError as error:
            # A package that is there but does not load (a missing library) says why.
            versions[package] = None
            if not isinstance(error, ModuleNotFoundError) or error.name != package:
                versions[f"{package}_error"] = str(error).splitlines()[0]
    providers: list[str] = []
    if versions["onnxruntime"]:
        providers = list(importlib.import_module("onnxruntime").get_available_providers())
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "machine": platform.machine(),
        **versions,
        "providers": providers,
        "folder": str(folder),
        "free_bytes": free_bytes(folder),
        "conditions": conditions(),
        "energy": energy_report(),
    }
