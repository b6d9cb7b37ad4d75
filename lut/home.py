"""The folder of tables and downloaded data: `--home`, else HWNAS_HOME, else the user data folder."""

from __future__ import annotations

import os
from pathlib import Path

from targets.errors import UsageError

HOME_VARIABLE = "HWNAS_HOME"


def data_home(option: str | Path | None = None) -> Path:
    """The absolute path of the data home, which may not exist yet. An empty variable counts as not set.

    UsageError where it is a file.
    """
    folder = option or os.environ.get(HOME_VARIABLE)
    if folder:
        path = Path(folder).expanduser().absolute()
        if path.is_file():
            raise UsageError(f"the data home {path} is a file; give a folder by --home or {HOME_VARIABLE}")
        return path
    import platformdirs

    return Path(platformdirs.user_data_dir("hwnas", appauthor=False))
