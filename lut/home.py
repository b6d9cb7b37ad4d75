"""The folder of tables and downloaded data: `--home`, else HWNAS_HOME, else the user data folder."""

from __future__ import annotations

import os
from pathlib import Path

from targets.files import user_path

HOME_VARIABLE = "HWNAS_HOME"


def data_home(option: str | Path | None = None) -> Path:
    """The absolute path of the data home, which may not exist yet. An empty variable counts as not set."""
    folder = option or os.environ.get(HOME_VARIABLE)
    if folder:
        return user_path(folder).absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("hwnas", appauthor=False))
