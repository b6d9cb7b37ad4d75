"""Whether this machine has what a search needs: versions, onnxruntime's providers, a home that is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lut.home import HOME_VARIABLE

from .environment import machine_facts, versions

_LEAST_MEMORY_GB, _LEAST_DISK_GB = 4.0, 2.0


def examine(
    home: Path, damaged: Sequence[str] = (), n_profiles: int | None = None, states: Sequence[str] = ()
) -> dict[str, Any]:
    """Facts of the installation; `problems` is empty when a search can run.

    damaged: what is wrong with the files in the home. n_profiles: profiles of devices there; None: not known.
    states: of the tables that are there and not `ok`.
    """
    found = versions()
    problems = [
        f"{name} is not installed; install hwnas again" for name, number in found.items() if not number
    ]
    if fault := _unwritable(home):
        problems.append(f"the home {home} {fault}; give another with --home or {HOME_VARIABLE}")
    problems += damaged
    machine = machine_facts()
    warnings = _shortages(machine, home)
    if n_profiles == 0:
        warnings.append("no device is profiled yet: `hwnas profile` once, then `hwnas predict` knows it")
    warnings += states
    return {
        "versions": found,
        "machine": machine,
        "onnxruntime_providers": _providers(problems),
        "cuda_devices": _cuda_devices(problems),
        "home": str(home),
        "problems": problems,
        "warnings": warnings,
        "verdict": _verdict(problems, warnings),
    }


def _verdict(problems: Sequence[str], warnings: Sequence[str]) -> str:
    if problems:
        return f"not ready: {len(problems)} problem{'s' * (len(problems) > 1)} to solve"
    return "ready" + (f", with {len(warnings)} remark{'s' * (len(warnings) > 1)}" if warnings else "")


def _shortages(machine: dict[str, Any], home: Path) -> list[str]:
    """What is enough to start, and not to finish in comfort."""
    warnings = []
    memory_gb = machine["memory_bytes"] / 1e9
    if memory_gb < _LEAST_MEMORY_GB:
        warnings.append(
            f"{memory_gb:.1f} GB of memory: searches on photos need about {_LEAST_MEMORY_GB:.0f} GB"
        )
    place = next(folder for folder in (home, *home.absolute().parents) if folder.is_dir())
    disk_gb = shutil.disk_usage(place).free / 1e9
    if disk_gb < _LEAST_DISK_GB:
        warnings.append(f"{disk_gb:.1f} GB are free at {place}: a search may fill them; free some")
    load = os.getloadavg()[0]
    if load > 0.5 * machine["usable_cores"]:
        warnings.append(
            f"{load:.1f} processes of other programs want the {machine['usable_cores']} cores: times "
            "measured now are less sure"
        )
    return warnings


def _providers(problems: list[str]) -> list[str]:
    try:
        import onnxruntime
    except (ImportError, RuntimeError) as error:
        problems.append(f"onnxruntime does not load: {error}")
        return []
    return list(onnxruntime.get_available_providers())


def _cuda_devices(problems: list[str]) -> int:
    try:
        import torch
        import torchvision  # noqa: F401  (a mismatched pair fails here, as RuntimeError)
    except (ImportError, RuntimeError) as error:
        problems.append(f"torch and torchvision do not load together: {error}; install both from one place")
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be kept there, as the end of a sentence."""
    if folder.exists() and not folder.is_dir():
        return "is a file and no folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"is not writable ({error.strerror or error})"
