"""Programs that call an exported file: made from the manifest, with its true names, shapes and rules.

A file per language, a row each in `LANGUAGES`, whose own programs are for images; `signals` has those for
what is none. Each language says in a table how the answers of a task are read. Every program can check itself
against the golden pair. Tests run the Python one, and the C++ one where onnxruntime's headers are installed;
Kotlin and Swift are read.
"""

from __future__ import annotations

from types import ModuleType

from hwnas.tasks import Readable

from . import cpp, kotlin, next_symbol, python, signals, swift
from .facts import CROP, AppFacts, app_facts

__all__ = ["CROP", "AppFacts", "app_facts", "file_names", "snippets"]

LANGUAGES = (python, cpp, kotlin, swift)


def file_names(readable: Readable) -> tuple[str, ...]:
    """The files of the programs."""
    if readable.reading == "next":
        return (next_symbol.FILE,)
    return tuple(
        language.FILE.format(verb=readable.verb, noun=readable.noun) for language in _languages(readable)
    )


def _languages(readable: Readable) -> tuple[ModuleType, ...]:
    """Those whose tables say how the answers are read."""
    return tuple(language for language in LANGUAGES if readable.reading in language.READ)


def snippets(facts: AppFacts) -> dict[str, str]:
    """The programs by file."""
    images = facts.kind.dims == 2
    texts = [
        language.snippet(facts) if images else signals.snippet(language.FILE, facts)
        for language in _languages(facts.readable)
    ]
    return dict(zip(file_names(facts.readable), texts, strict=True))
