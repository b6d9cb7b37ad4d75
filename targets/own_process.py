"""Processes of this very code, which import nothing from the folder that a command is typed in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

WITHOUT_WORKING_DIRECTORY = "import sys; sys.path[:] = filter(None, sys.path)\n"
"""What the code of `python -c` begins with: it takes the working directory, which stands as '', off the path.

`sys` is no file that could lie there. `-I` would hide what `pip install --user` has installed, and Python
below 3.11, as a device may have it, knows no PYTHONSAFEPATH.
"""

_RUN = "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"


def own_command(module: str, *arguments: str) -> list[str]:
    """`python -m MODULE ARGUMENTS`, without the working directory on the path; it wants `own_environment`.

    `-m` would put that in front of everything, so that a folder `numpy` or a file `json.py` of the user's
    would run in place of what is meant.
    """
    return [sys.executable, "-c", WITHOUT_WORKING_DIRECTORY + _RUN, module, *arguments]


def own_environment() -> dict[str, str]:
    """The environment of this process, for `own_command`.

    This code stands first on the path. PYTHONSAFEPATH is for what such a process starts itself, as torch's
    launcher does.
    """
    here = str(Path(__file__).parent.parent)  # the folder of the packages; on a device their archive
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
