"""Errors that a user can act on; each class carries the exit code of the command line.

A message says what is wrong, where, what is allowed and what to do next.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_LONGEST_WORD = 600
_BEGINNING = 200
_LONG = re.compile(rf"(\S{{{_BEGINNING}}})\S{{{_LONGEST_WORD - _BEGINNING},}}")


class HwnasError(Exception):
    """Base class of every error that hwnas raises on purpose.

    Its message shows the beginning of a word that nobody reads to its end: 5,000 digits in a file, say.
    """

    exit_code = 1

    def __str__(self) -> str:
        return _LONG.sub(r"\1…", super().__str__())


class UsageError(HwnasError):
    """The request, an option or a configuration file is wrong."""

    exit_code = 2


class DamagedFileError(HwnasError):
    """A file is damaged, or belongs to something else."""

    exit_code = 3


class TargetError(HwnasError):
    """The target cannot be reached, or cannot do what was asked."""

    exit_code = 4


class ConnectionLostError(TargetError):
    """The connection broke or was never made; the same call may succeed in a moment."""


class InfeasibleError(HwnasError):
    """The work was done, but nothing satisfies the constraints."""

    exit_code = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The choices, for a message on an unknown name.

    >>> did_you_mean("hots", ["host", "jetson"])
    "known: host, jetson (did you mean 'host'?)"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"known: {', '.join(names)}{hint}"
