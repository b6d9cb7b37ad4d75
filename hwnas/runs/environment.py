"""The facts of the machine and its software, for `env.json` and `hwnas doctor`."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from targets import host_facts

# What decides numbers: a run resumed under another of these may differ in the last bits.
PACKAGES = (
    "hwnas",
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "optuna",
    "numpy",
    "scikit-learn",
    "pandas",
)
GIT_TIMEOUT_S = 5.0


def versions() -> dict[str, str | None]:
    """Installed version of each package that decides numbers; None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def machine_facts() -> dict[str, Any]:
    """What a latency's context says of the machine, less the long list of CPU flags, plus what runs need."""
    facts = {name: value for name, value in host_facts().items() if name != "cpu_flags"}
    return {
        **facts,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }


def git_facts(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the repository that holds `folder`; None where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def environment(seed: int | None, folder: Path) -> dict[str, Any]:
    """Everything `env.json` holds. folder: where the user stands, whose git state is recorded."""
    return {
        "schema": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "versions": versions(),
        "machine": machine_facts(),
        "git": git_facts(folder),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
