"""Where tables and downloaded data live: `--home`, else HWNAS_HOME, else the platform's user data folder."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "HWNAS_HOME"


def data_home(option: str | Path | None = None) -> Path:
    """The absolute data home; it is not created here. An empty variable counts as not set."""
    chosen = option or os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("hwnas", appauthor=False))
