"""Programs that call an exported file: made from the manifest, with its true names, shapes and rules.

A file per language, a row each in `SNIPPETS`. Every program can check itself against the golden pair. Tests
run the Python one, and the C++ one where onnxruntime's headers are installed; Kotlin and Swift are read.
"""

from __future__ import annotations

from collections.abc import Callable

from . import cpp, kotlin, python, swift
from .facts import CROP, AppFacts, app_facts

__all__ = ["CROP", "SNIPPETS", "AppFacts", "app_facts"]

SNIPPETS: dict[str, Callable[[AppFacts], str]] = {
    module.FILE: module.snippet for module in (python, cpp, kotlin, swift)
}
"""By the name of the file."""
