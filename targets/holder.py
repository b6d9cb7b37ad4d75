"""Who holds a lock, in words: what its holder writes into the file that the kernel locks.

The kernel's lock decides. What stands in the file is for messages only, so that a file which a killed
process left blocks nobody.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import IO, Any


def write_holder(file: IO[str]) -> None:
    """Write this process into its lock file."""
    facts = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    file.seek(0)
    file.truncate(0)
    file.write(json.dumps(facts) + "\n")
    file.flush()


def read_holder(file: IO[str]) -> str:
    """The holder in words; a lock file that another process is just filling gives question marks."""
    file.seek(0)
    try:
        facts: Any = json.loads(file.read(1000))
    except (ValueError, RecursionError):
        facts = {}
    return describe_holder(facts if isinstance(facts, dict) else {})


def describe_holder(facts: Mapping[str, Any]) -> str:
    """`pid 12 on host a since …`."""
    return f"pid {facts.get('pid', '?')} on host {facts.get('host', '?')} since {facts.get('since', '?')}"
