"""Run on a device as `python3 -c`: write standard input to the file FOLDER/NAME, in one step.

A Python that is too old for the rest is an error, so this file needs no more than Python 3.6.
"""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    if sys.version_info < (3, 9):  # noqa: UP036  (this is what is checked)
        sys.exit(
            f"error: Python {sys.version_info[0]}.{sys.version_info[1]} is too old, 3.9 or newer is needed; "
            "install one beside it and set reach.python to its path"
        )
    target = Path(sys.argv[1]).expanduser().absolute() / sys.argv[2]
    raw = sys.stdin.buffer.read()
    try:
        if not (target.is_file() and target.read_bytes() == raw):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.{os.getpid()}")
            try:
                part.write_bytes(raw)
                part.replace(target)
            finally:
                if part.exists():
                    part.unlink()
        target.touch()
        for other in target.parent.glob("hwnas-*.zip"):
            # Of an older version and in use by nobody; another process may be doing the same.
            with suppress(FileNotFoundError):
                if other.stat().st_mtime < time.time() - 7 * 86400:
                    other.unlink()
    except OSError as error:
        sys.exit(
            f"error: cannot write {target} ({len(raw)} bytes) on the device: {error.strerror}; free space "
            "there, or set reach.folder"
        )
    print(f"hwnas {json.dumps(str(target))}")
