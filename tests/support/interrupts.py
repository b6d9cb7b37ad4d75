"""Ctrl-C, as often as it takes: Python loses a signal that comes while an extension module starts."""

import signal
import subprocess
from typing import AnyStr

TIMES, PATIENCE_S = 12, 10.0


def interrupt(process: "subprocess.Popen[AnyStr]") -> AnyStr:
    """Interrupt until the process has ended; what it wrote to stderr from here on."""
    for _ in range(TIMES):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    raise AssertionError(f"{process.args!r} did not end at {TIMES} interrupts")
