"""Whether this machine has what a search needs: versions, onnxruntime's providers, a writable home."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .environment import machine_facts, versions


def examine(home: Path) -> dict[str, Any]:
    """Facts of the installation; `problems` is empty when a search can run."""
    found = versions()
    problems = [
        f"{name} is not installed; install hwnas again" for name, number in found.items() if not number
    ]
    fault = _unwritable(home)
    if fault:
        problems.append(f"the home {home} is not writable ({fault}); give another with --home or HWNAS_HOME")
    return {
        "versions": found,
        "machine": machine_facts(),
        "onnxruntime_providers": _providers(problems),
        "cuda_devices": _cuda_devices(problems),
        "home": str(home),
        "problems": problems,
    }


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)
