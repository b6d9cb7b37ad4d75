"""Processes of this very code, which import nothing from the folder that a command is typed in."""

from __future__ import annotations

import os
from pathlib import Path


def own_environment() -> dict[str, str]:
    """The environment of this process, for `python -m` of a module of ours.

    This code stands first on the path, and the working directory is not on it: `-m` and `-c` put that in
    front of everything, so that a folder `hwnas` or a file `random.py` of the user's would run in place of
    ours or of Python's. (Python below 3.11, as a device may have it, knows no PYTHONSAFEPATH.)
    """
    here = str(Path(__file__).parent.parent)  # the folder of the packages; on a device their archive
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
