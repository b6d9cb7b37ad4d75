"""What has to be equal where a task is ordered and where it is done."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def versions() -> dict[str, str]:
    """The version of hwnas, a digest of its source, and the release of torch."""
    return {
        "hwnas": _version("hwnas"),
        "source": _source(),
        "torch": ".".join(_version("torch").split(".")[:2]),
    }


def difference(here: dict[str, str], there: dict[str, str]) -> str | None:
    """What another place has that is not as here, in words; None where nothing differs."""
    for name, value in here.items():
        other = there.get(name)
        if other == value:
            continue
        if name == "source":
            return f"its hwnas {there.get('hwnas')} is of another source ({other} there, {value} here)"
        return f"it has {name} {other}, here is {value}"
    return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout
        return "not installed"


def _source() -> str:
    """Of every Python file of the package, by name and content."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
