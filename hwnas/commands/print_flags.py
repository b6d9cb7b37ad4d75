"""Flags that print a result in another form on stdout: what follows one is not the file to write it to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from targets.errors import UsageError

_FORMS = {"--csv": ".csv", "--json": ".json"}
"""Flag -> how the files of its form are named."""


def check_print_flags(command: Any, context: Any, words: Sequence[str]) -> None:
    """UsageError where a file stands behind a flag of the command that takes none.

    It would be read as the next argument: a network, a run. What is there, and may be such an argument, is
    left to the command.
    """
    parameters = command.get_params(context)
    flags = {name for item in parameters if getattr(item, "is_flag", False) for name in item.opts} & {*_FORMS}
    n_arguments = sum(item.param_type_name == "argument" for item in parameters)
    several = any(item.param_type_name == "argument" and item.nargs == -1 for item in parameters)
    before_rest = list(takewhile(lambda word: word != "--", words))
    joined = [tuple(word.split("=", 1)) for word in before_rest if "=" in word]
    for flag, file in [*pairwise(before_rest), *joined]:
        if flag not in flags or file.startswith("-") or (n_arguments and Path(file).exists()):
            continue
        suffix = Path(file).suffix.lower()
        if suffix == _FORMS[flag] or (flag, file) in joined or (several and suffix != ".onnx"):
            raise UsageError(
                f"{flag} takes no file, it prints to stdout: write {flag} > {file}"
                + (f" ({file} is no file or folder that is there)" if n_arguments else "")
            )
