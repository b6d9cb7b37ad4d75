"""The console script `hwnas`: it answers signals from its first line on, then loads the commands.

The commands are put together in `hwnas/commands/app.py`; loading them takes a third of a second, in which
Ctrl-C would end in a traceback of imports.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType


def main() -> None:
    """The console script `hwnas`."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # some systems lack the last
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, _leave)
    from hwnas.commands import app

    app.main()


def run(arguments: Sequence[str]) -> int:
    """Runs one command line in this process and returns its exit code."""
    from hwnas.commands import app

    return app.run(arguments)


def _leave(signum: int, frame: FrameType | None) -> None:
    """End at once: nothing was begun yet. An exception could be lost inside of an import."""
    os.write(2, b"stopped\n")
    os._exit(128 + signum)


if __name__ == "__main__":
    main()
